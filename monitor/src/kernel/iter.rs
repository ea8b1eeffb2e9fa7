//! Passes: running an iterator program to its end.

use std::io::{self, Read};

use aya::programs::{Iter, ProgramError, links::LinkError};

use super::loader::Object;
use crate::error::chain;

/// Why a pass could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// It is not among the object's programs.
    #[error("there is no such program")]
    Missing,
    /// The kernel refuses it.
    #[error("{}", chain(.0))]
    Program(#[from] ProgramError),
    /// It cannot be begun.
    #[error("{}", chain(.0))]
    Link(#[from] LinkError),
    /// It broke off.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs a loaded program over all that is of its kind, and appends what it writes to `records`.
pub fn over_all(
    object: &mut Object,
    program: &str,
    records: &mut Vec<u8>,
) -> Result<(), PassError> {
    let program = find(object, program)?;
    let link = program.attach()?;
    let mut file = program.take_link(link)?.into_file()?;
    Ok(read_all(&mut file, records)?)
}

/// Reads a pass to its end, and appends what it writes to `records`. After a million objects without
/// anything written the kernel returns `EAGAIN`, and the next read continues with the object behind them.
fn read_all(pass: &mut impl Read, records: &mut Vec<u8>) -> io::Result<()> {
    loop {
        match pass.read_to_end(records) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result.map(drop),
        }
    }
}

fn find<'a>(object: &'a mut Object, program: &str) -> Result<&'a mut Iter, PassError> {
    let program = object.ebpf.program_mut(program).ok_or(PassError::Missing)?;
    Ok(program.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pass that writes little, and in which the kernel now and then finds a million silent objects.
    struct Pass(Vec<io::Result<&'static [u8]>>);

    impl Read for Pass {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = self.0.pop().unwrap_or(Ok(b""))?;
            buffer[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }

    #[test]
    fn a_pass_continues_behind_silent_objects() {
        let silent = || Err(io::Error::from_raw_os_error(libc::EAGAIN));
        let mut records = Vec::new();
        let mut pass = Pass(vec![silent(), Ok(b"b"), silent(), silent(), Ok(b"a"), silent()]);
        read_all(&mut pass, &mut records).unwrap();
        assert_eq!(records, b"ab");
        let mut broken = Pass(vec![Err(io::Error::from_raw_os_error(libc::ENOMEM)), Ok(b"a")]);
        assert_eq!(
            read_all(&mut broken, &mut records).unwrap_err().raw_os_error(),
            Some(libc::ENOMEM)
        );
    }
}
