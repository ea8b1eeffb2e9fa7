//! Access to the kernel's structures: the one place where kernel pointers are dereferenced.

pub mod call;
mod cgroup;
mod iter;
mod memory;
mod message;
mod process;
mod request;
mod sock;
mod task;
mod thread;
mod throttle;

pub use cgroup::{Cgroup, read_path};
pub use iter::{FileIter, TaskIter};
pub use memory::{CgroupDirectory, Memory};
pub use message::Message;
pub use process::Argv;
pub use request::{Bio, Purpose, Request};
pub use sock::{Endpoint, Sock, TcpSock, Transport, state};
pub use task::{Task, low_half};
pub use throttle::GroupQueue;
