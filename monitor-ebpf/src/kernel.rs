//! Access to the kernel's structures: the one place where kernel pointers are dereferenced.

mod iter;
mod memory;
mod process;
mod request;
mod sock;
mod task;

pub use iter::{FileIter, SockIter, TaskIter};
pub use memory::{CgroupDirectory, Memory};
pub use process::Argv;
pub use request::{Purpose, Request};
pub use sock::{Endpoint, Sock, TcpSock};
pub use task::{Task, low_half};
