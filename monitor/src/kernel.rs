//! What the daemon needs of the kernel: types, loading, attaching, and what programs and maps cost.

pub mod attach;
mod bpf;
pub mod btf;
pub mod clock;
pub mod disk;
pub mod grace;
pub mod iter;
pub mod loader;
mod members;
pub mod namespace;
mod on_cpus;
mod realtime;
pub mod stats;
