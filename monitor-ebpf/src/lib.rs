//! What the BPF programs share: typed access to kernel structures and the maps that aya-ebpf has no
//! wrapper for.
#![no_std]
#![feature(asm_experimental_arch)]

pub mod atomic;
pub mod histogram;
pub mod kernel;
pub mod task_storage;
