//! Code objects in the target: what they are called, and which lines they are of.

use tracer_common::{
    PYTHON_BYTES, PYTHON_CODE_BYTES, PYTHON_CODE_WORDS, PYTHON_LENGTH, PythonFrame, python_checksum,
};

use super::{
    CodeCopy, Interpreter,
    line_table::LineTable,
    object::{Fault, Head, Objects, Source},
    places::Places,
    text,
};

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
    /// `co_linetable`; `None` where it is too long, or was gone before it could be read.
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

/// Reads the code object of a frame: out of the copy, if there is one; what that lacks, out of the target's memory, where
/// it is still there.
///
/// # Errors
///
/// Where it isn't there any more, or the process isn't. Of a frame without a checksum, any code object there is taken.
pub(super) fn read(
    interpreter: &Interpreter,
    frame: &PythonFrame,
    copy: Option<&CodeCopy>,
) -> Result<PythonCode, Unread> {
    let copied = copy.and_then(|copy| {
        let parts = copy.parts(&interpreter.layout.code);
        Reader::of(interpreter, &parts).read(frame).ok()
    });
    if let Some(code) = copied.as_ref().filter(|code| code.lines.is_some()) {
        return Ok(code.clone());
    }
    let now = Reader::of(interpreter, &*interpreter.memory).read(frame);
    match (now, copied) {
        (Ok(now), _) => Ok(now),
        (Err(_), Some(copied)) => Ok(copied),
        (Err(Fault::Stale), None) => Err(Unread::Stale { address: frame.code }),
        (Err(Fault::Unreadable), None) => Err(Unread::Unreadable { address: frame.code }),
    }
}

struct Reader<'a, S> {
    objects: Objects<'a, S>,
    places: &'a Places,
}

impl<'a, S: Source> Reader<'a, S> {
    fn of(interpreter: &'a Interpreter, source: &'a S) -> Self {
        let Interpreter { layout, places, .. } = interpreter;
        Self { objects: Objects { source, layout }, places }
    }

    /// A line table that can't be read is left out, as it is the largest part.
    fn read(&self, frame: &PythonFrame) -> Result<PythonCode, Fault> {
        let layout = self.objects.layout;
        let before = self.head(frame)?;
        let member = |at: u32| before.u64(at as usize);
        let text = |at| text::read(&self.objects, self.places.text_type, member(at));
        let first_line = before.u32(layout.code.first_line as usize);
        let (file, name) = (text(layout.code.file)?, text(layout.code.qualified_name)?);
        let lines = self.line_table(member(layout.code.line_table));
        // While it is alive so is what it refers to, and none of it ever changes.
        let after = self.head(frame)?;
        if self.identity(&after) != self.identity(&before) {
            return Err(Fault::Stale);
        }
        let is_3_10 = layout.counts_instructions();
        let lines = match lines {
            Ok(bytes) => Some(LineTable { bytes, first_line, is_3_10 }),
            Err(Fault::Unreadable) => None,
            Err(Fault::Stale) => return Err(Fault::Stale),
        };
        Ok(PythonCode { file, name, first_line, lines })
    }

    /// The code object, if it is the frame's.
    fn head(&self, frame: &PythonFrame) -> Result<Head, Fault> {
        let head = self.objects.head(frame.code, self.places.code_type, PYTHON_CODE_BYTES)?;
        let is_same =
            frame.checksum == 0 || python_checksum(&self.identity(&head)) == frame.checksum;
        if is_same { Ok(head) } else { Err(Fault::Stale) }
    }

    fn identity(&self, head: &Head) -> [u64; PYTHON_CODE_WORDS] {
        let first = self.objects.layout.code.identity as usize;
        std::array::from_fn(|word| head.u64(first + word * size_of::<u64>()))
    }

    fn line_table(&self, address: u64) -> Result<Box<[u8]>, Fault> {
        let head = || self.objects.head(address, self.places.bytes_type, PYTHON_BYTES as usize);
        let len = head()?.u64(PYTHON_LENGTH as usize);
        if len > MAX_LINE_TABLE {
            return Err(Fault::Unreadable);
        }
        let bytes = self.objects.bytes(address.wrapping_add(PYTHON_BYTES), len as usize)?;
        if head()?.u64(PYTHON_LENGTH as usize) != len {
            return Err(Fault::Stale);
        }
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests;
