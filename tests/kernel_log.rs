//! What the kernel writes to its log.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
};

/// The kernel's log from a moment on.
pub struct KernelLog(File);

impl KernelLog {
    /// From now on.
    pub fn open() -> Self {
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg");
        let mut file = file.expect("the kernel's log is needed: run as root, with /dev/kmsg");
        file.seek(SeekFrom::End(0)).expect("its end is known");
        Self(file)
    }

    /// The messages since, without what comes before their text.
    pub fn messages(mut self) -> Vec<String> {
        let mut messages = Vec::new();
        let mut record = vec![0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(bytes) => {
                    let record = String::from_utf8_lossy(&record[..bytes]);
                    messages.extend(record.split_once(';').map(|(_, text)| text.to_owned()));
                }
                // Older messages had to make room.
                Err(e) if e.raw_os_error() == Some(libc::EPIPE) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return messages,
                Err(e) => panic!("cannot read the kernel's log: {e}"),
            }
        }
    }
}
