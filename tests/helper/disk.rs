//! A program that wants its writes to be on the medium.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
};

use monitor_tests::sys::memory::PAGE;

/// What is written at once; devices take it from memory that begins with a page.
#[repr(align(4096))]
struct Block([u8; PAGE]);

/// Writes to a device past the page cache: so many blocks with an fsync after each, and so many that
/// are on the medium when their write returns.
pub(crate) fn sync(device: &str, with_fsync: u64, with_flag: u64) {
    let block = Block([1; PAGE]);
    let file = open(device, libc::O_DIRECT);
    for n in 0..with_fsync {
        write(&file, &block, n);
        file.sync_all().expect("devices can be flushed");
    }
    let file = open(device, libc::O_DIRECT | libc::O_DSYNC);
    for n in 0..with_flag {
        write(&file, &block, n);
    }
    crate::done(&[]);
}

fn open(device: &str, flags: i32) -> File {
    let file = OpenOptions::new().write(true).custom_flags(flags).open(device);
    file.unwrap_or_else(|error| panic!("cannot open {device}: {error}"))
}

fn write(file: &File, block: &Block, n: u64) {
    file.write_all_at(&block.0, n * PAGE as u64).expect("the device has room");
}
