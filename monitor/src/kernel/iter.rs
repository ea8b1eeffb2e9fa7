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
    file.read_to_end(records)?;
    Ok(())
}

fn find<'a>(object: &'a mut Object, program: &str) -> Result<&'a mut Iter, PassError> {
    let program = object.ebpf.program_mut(program).ok_or(PassError::Missing)?;
    Ok(program.try_into()?)
}
