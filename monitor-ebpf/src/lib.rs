//! What the BPF programs share: typed access to kernel structures and the maps that aya-ebpf has no
//! wrapper for.
#![no_std]
#![feature(asm_experimental_arch)]

pub mod atomic;
pub mod bank;
pub mod events;
pub mod histogram;
pub mod kernel;
pub mod ledger;
pub mod local_storage;
pub mod once;
pub mod pair;
pub mod process;
pub mod slow;
pub mod stall;
pub mod table;

/// Rust wants one, though nothing here can panic: the verifier refuses programs that may not end.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
