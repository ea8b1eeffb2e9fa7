//! Arguments and the result of a function at its end, where their places differ between kernels.

use core::arch::asm;

use aya_ebpf::{EbpfContext as _, programs::FExitContext};

use super::task::constant;

/// Written by userspace before loading: where the functions that send and receive datagrams have
/// their results, which lie behind the last argument, and those that receive their flags.
#[unsafe(no_mangle)]
static SENDMSG_RESULT: u32 = 0;
#[unsafe(no_mangle)]
static RECVMSG_RESULT: u32 = 0;
#[unsafe(no_mangle)]
static RECVMSG_FLAGS: u32 = 0;

/// What a function that sends datagrams returns.
#[inline(always)]
pub fn sendmsg_result(ctx: &FExitContext) -> i32 {
    slot(ctx, constant(&SENDMSG_RESULT))
}

/// What a function that receives datagrams returns.
#[inline(always)]
pub fn recvmsg_result(ctx: &FExitContext) -> i32 {
    slot(ctx, constant(&RECVMSG_RESULT))
}

/// The flags that such a function was called with.
#[inline(always)]
pub fn recvmsg_flags(ctx: &FExitContext) -> i32 {
    slot(ctx, constant(&RECVMSG_FLAGS))
}

/// Reads a slot of eight bytes.
macro_rules! read {
    ($ctx:ident, $offset:literal) => {{
        let value: u64;
        // SAFETY: the verifier checks that the function has so many arguments.
        unsafe {
            asm!(
                concat!("r0 = *(u64 *)(r1 + ", $offset, ")"),
                in("r1") $ctx.as_ptr(),
                lateout("r0") value,
                options(pure, readonly, nostack),
            );
        }
        value as i32
    }};
}

/// The number in a slot. Each is read by an instruction of its own, as the verifier refuses to add to
/// the context; the slot is a constant to it, so it only looks at that one.
#[inline(always)]
fn slot(ctx: &FExitContext, n: u32) -> i32 {
    match n {
        3 => read!(ctx, 24),
        4 => read!(ctx, 32),
        5 => read!(ctx, 40),
        6 => read!(ctx, 48),
        _ => -1,
    }
}
