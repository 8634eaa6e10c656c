//! Code objects in the target: what they are called, and which lines they are of.

use tracer_common::PythonFrame;

use super::{Interpreter, chain, line_table::LineTable, text};

/// `PyBytesObject`: how many, and the first.
const BYTES_LEN: u64 = 16;
const BYTES: u64 = 32;
/// Longest line table that is read, in bytes. Those of functions have some hundred; only a module of many thousand lines has
/// a longer one.
const MAX_LINE_TABLE: u64 = 1 << 20;

/// A code object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonCode {
    /// `co_filename`.
    pub file: String,
    /// `co_qualname`; in 3.10, which has none, `co_name`.
    pub name: String,
    /// `co_firstlineno`.
    pub first_line: u32,
    /// `co_linetable`; `None` where it is too long to be kept.
    pub lines: Option<LineTable>,
}

impl PythonCode {
    /// The line of an instruction, from 1; see [`LineTable::line_of`].
    pub fn line_of(&self, instruction: i32) -> Option<u32> {
        self.lines.as_ref()?.line_of(instruction)
    }

    /// What it takes.
    pub(super) fn bytes(&self) -> usize {
        let lines = self.lines.as_ref().map_or(0, |lines| lines.bytes.len());
        size_of::<Self>() + self.file.len() + self.name.len() + lines
    }
}

/// Why a code object was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// Another one is in its place, or none: it was freed in the meantime.
    #[error("the code object at {address:#x} is not there any more")]
    Stale {
        /// Where it was.
        address: u64,
    },
    /// There is no room for more of them.
    #[error("no room for the code object at {address:#x}: too many are known already")]
    LeftOut {
        /// Where it was.
        address: u64,
    },
    /// It could not be read, or is none.
    #[error("the code object at {address:#x} cannot be read")]
    Unreadable {
        /// Where it was.
        address: u64,
    },
}

/// Reads the code object of a frame.
///
/// # Errors
///
/// Where it isn't there any more, or the process isn't. Of a frame without a checksum, any code object there is taken.
pub(super) fn read(interpreter: &Interpreter, frame: &PythonFrame) -> Result<PythonCode, Unread> {
    let address = frame.code;
    let config = interpreter.config(tracer_common::Space(0));
    let check = || match chain::checksum(&interpreter.memory, &config, address) {
        None => Err(Unread::Unreadable { address }),
        Some(found) if frame.checksum == 0 || found == frame.checksum => Ok(()),
        Some(_) => Err(Unread::Stale { address }),
    };
    check()?;
    let code = read_now(interpreter, address).ok_or(Unread::Unreadable { address });
    // What was read is what it was before, if it still is.
    check()?;
    code
}

fn read_now(interpreter: &Interpreter, address: u64) -> Option<PythonCode> {
    let Interpreter { memory, layout, places, .. } = interpreter;
    if memory.u64(address.wrapping_add(8))? != places.code_type {
        return None;
    }
    let word = |at: u32| memory.u64(address.wrapping_add(at.into()));
    let text = |at: u32| text::read(memory, &layout.text, word(at)?);
    let first_line = memory.u32(address.wrapping_add(layout.code.first_line.into()))?;
    let table = word(layout.code.line_table)?;
    let len = memory.u64(table.wrapping_add(BYTES_LEN))?;
    let lines = if len <= MAX_LINE_TABLE {
        let bytes = memory.bytes(table.wrapping_add(BYTES), len as usize)?.into();
        Some(LineTable { bytes, first_line, is_3_10: layout.counts_instructions() })
    } else {
        None
    };
    let (file, name) = (text(layout.code.file)?, text(layout.code.qualified_name)?);
    Some(PythonCode { file, name, first_line, lines })
}
