//! What the BPF programs share: typed access to kernel structures and the maps that aya-ebpf has no
//! wrapper for.
#![no_std]
#![feature(asm_experimental_arch)]

pub mod atomic;
pub mod bank;
pub mod events;
pub mod histogram;
pub mod kernel;
pub mod process;
pub mod sock_storage;
pub mod table;
pub mod task_storage;

/// Rust wants one, though nothing here can panic: the verifier refuses programs that may not end.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
