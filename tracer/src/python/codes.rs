//! The code objects that were read so far.

use std::{collections::HashMap, time::SystemTime};

use tracer_common::PythonFrame;

use super::{
    CodeCopy, Interpreter,
    code::{self, PythonCode, Unread},
};

/// Code objects that are kept, at most, and bytes of their names and line tables. Those that come later are left out: a large
/// program has some hundred thousand, and half a kilobyte each.
const MAX_CODES: usize = 1 << 20;
const MAX_BYTES: usize = 512 << 20;

/// Which code object: where it is, and its checksum.
type Identity = (u64, u32);

/// How many code objects could not be named in full, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unnamed {
    /// Another one was in their place, as they had been freed.
    pub stale: u64,
    /// They could not be read, or were none.
    pub unreadable: u64,
    /// There was no room for more. Counted each time that one is asked for.
    pub left_out: u64,
    /// They have names, but their line table was too long, or gone: no line is shown.
    pub without_lines: u64,
}

/// What was found, and when.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) code: Result<PythonCode, Unread>,
    pub(super) seen: SystemTime,
}

/// Reads each code object once, and keeps it for good.
#[derive(Debug, Default)]
pub(super) struct Codes {
    known: HashMap<Identity, Known>,
    bytes: usize,
    unnamed: Unnamed,
    /// The last one that was left out.
    left_out: Option<Known>,
}

impl Codes {
    /// The code object of a frame, read when it is not known yet.
    pub(super) fn get(&mut self, interpreter: &Interpreter, frame: &PythonFrame) -> &Known {
        self.get_or_read(interpreter, frame, None)
    }

    /// Takes a code object from its copy, if it is not known yet.
    pub(super) fn keep(&mut self, interpreter: &Interpreter, copy: &CodeCopy) {
        let &CodeCopy { code, checksum, .. } = copy;
        self.get_or_read(interpreter, &PythonFrame { code, checksum, instruction: 0 }, Some(copy));
    }

    fn get_or_read(
        &mut self,
        interpreter: &Interpreter,
        frame: &PythonFrame,
        copy: Option<&CodeCopy>,
    ) -> &Known {
        let identity = (frame.code, frame.checksum);
        let is_full = self.known.len() >= MAX_CODES || self.bytes >= MAX_BYTES;
        if is_full && !self.known.contains_key(&identity) {
            self.unnamed.left_out += 1;
            let code = Err(Unread::LeftOut { address: frame.code });
            return self.left_out.insert(Known { code, seen: SystemTime::now() });
        }
        let (unnamed, bytes) = (&mut self.unnamed, &mut self.bytes);
        self.known.entry(identity).or_insert_with(|| {
            let code = code::read(interpreter, frame, copy);
            unnamed.count(&code);
            *bytes += code.as_ref().map_or(0, PythonCode::bytes);
            Known { code, seen: SystemTime::now() }
        })
    }

    pub(super) fn unnamed(&self) -> Unnamed {
        self.unnamed
    }
}

impl Unnamed {
    fn count(&mut self, code: &Result<PythonCode, Unread>) {
        match code {
            Err(Unread::Stale { .. }) => self.stale += 1,
            Err(Unread::Unreadable { .. }) => self.unreadable += 1,
            Err(Unread::LeftOut { .. }) => self.left_out += 1,
            Ok(code) if code.lines.is_none() => self.without_lines += 1,
            Ok(_) => {}
        }
    }
}
