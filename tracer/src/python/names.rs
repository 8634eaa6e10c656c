//! Frames of Python's become frames of a report.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tracer_common::PythonFrame;

use super::{
    CodeCopy, Interpreter,
    code::{self, PythonCode, Unread},
};
use crate::{
    symbolize::{Frame, Language, MAX_NAME, SourceLines, SourceRoot, clean},
    units::Pid,
};

/// Code objects that are kept, at most; beyond it they are read anew.
const MAX_CODES: usize = 1 << 16;

/// Which code object: where it is, and its checksum.
type Identity = (u64, u32);

/// What was found, and when.
struct Known {
    code: Result<PythonCode, Unread>,
    seen: SystemTime,
}

/// How many code objects could not be named in full, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unnamed {
    /// Another one was in their place, as they had been freed.
    pub stale: u64,
    /// They could not be read, or were none.
    pub unreadable: u64,
    /// They have names, but their line table is too long, or was gone.
    pub without_lines: u64,
}

impl Unnamed {
    fn count(&mut self, code: &Result<PythonCode, Unread>) {
        match code {
            Err(Unread::Stale { .. }) => self.stale += 1,
            Err(Unread::Unreadable { .. }) => self.unreadable += 1,
            Ok(code) if code.lines.is_none() => self.without_lines += 1,
            Ok(_) => {}
        }
    }
}

/// Reads code objects out of the target, and keeps what they are called: they may be freed at any time, so the sooner a frame is
/// looked at after it came in, the better. Each is read once. Belongs to one image of the process.
pub struct Names {
    codes: HashMap<Identity, Known>,
    source: SourceLines,
    /// Where the target's relative names start.
    directory: Option<PathBuf>,
    unnamed: Unnamed,
}

impl Names {
    /// Reads source lines below `root`; without it no source text is given. Relative file names are taken from the directory
    /// that the process works in now.
    pub fn new(pid: Pid, root: Option<SourceRoot>) -> Self {
        Self {
            codes: HashMap::new(),
            source: SourceLines::new(root),
            directory: std::fs::read_link(format!("/proc/{pid}/cwd")).ok(),
            unnamed: Unnamed::default(),
        }
    }

    /// Takes a code object from its copy, unless it is known. To be called with each copy as it comes in: frames of it follow.
    pub fn keep(&mut self, interpreter: &Interpreter, copy: &CodeCopy) {
        if self.codes.len() >= MAX_CODES {
            self.codes.clear();
        }
        let frame = PythonFrame { code: copy.code, checksum: copy.checksum, instruction: 0 };
        if self.codes.get(&(copy.code, copy.checksum)).is_none_or(|known| known.code.is_err()) {
            let code = code::read(interpreter, &frame, Some(copy));
            self.unnamed.count(&code);
            let known = Known { code, seen: SystemTime::now() };
            self.codes.insert((copy.code, copy.checksum), known);
        }
    }

    /// Reads the code objects of these frames that are not known yet. To be called with each stack as it comes in.
    pub fn learn(&mut self, interpreter: &Interpreter, frames: &[PythonFrame]) {
        for frame in frames {
            self.known(interpreter, frame);
        }
    }

    /// The code object of a frame. Read when it is not known yet, which fails where it was freed since.
    ///
    /// # Errors
    ///
    /// Where it could not be read at the first time it was asked for.
    pub fn code(
        &mut self,
        interpreter: &Interpreter,
        frame: &PythonFrame,
    ) -> &Result<PythonCode, Unread> {
        &self.known(interpreter, frame).code
    }

    fn known(&mut self, interpreter: &Interpreter, frame: &PythonFrame) -> &Known {
        if self.codes.len() >= MAX_CODES {
            self.codes.clear();
        }
        let unnamed = &mut self.unnamed;
        self.codes.entry((frame.code, frame.checksum)).or_insert_with(|| {
            let code = code::read(interpreter, frame, None);
            unnamed.count(&code);
            Known { code, seen: SystemTime::now() }
        })
    }

    /// How many code objects could not be named in full, and why.
    pub fn unnamed(&self) -> Unnamed {
        self.unnamed
    }

    /// The line of a frame, from 1.
    pub fn line_of(&mut self, interpreter: &Interpreter, frame: &PythonFrame) -> Option<u32> {
        self.code(interpreter, frame).as_ref().ok()?.line_of(frame.instruction)
    }

    /// The frame as reports show it: the module is the interpreter's object, the address that of the code object. Without a name
    /// where the code object was gone, and with its first line where the instruction has none.
    pub fn frame(&mut self, interpreter: &Interpreter, frame: &PythonFrame) -> Frame {
        let mut named = Frame {
            function: None,
            module: clean(interpreter.object(), MAX_NAME),
            address: frame.code,
            offset: 0,
            file: None,
            line: None,
            source: None,
            inlined: false,
            language: Language::Python,
        };
        let Known { code: Ok(code), seen } = self.known(interpreter, frame) else { return named };
        // What has no line of its own has that of the whole; where lines are not known, none is made up.
        let lines = code.lines.as_ref();
        let line = lines.map(|it| it.line_of(frame.instruction).unwrap_or(code.first_line));
        named.line = line.filter(|line| *line > 0);
        named.function = Some(clean(&code.name, MAX_NAME));
        named.file = Some(clean(&code.file, MAX_NAME));
        let (file, seen) = (code.file.clone(), *seen);
        named.source = named.line.and_then(|line| self.source_line(&file, line, seen));
        named
    }

    /// The text of a line, if its file was not changed after its code was `seen`. What is in angle brackets is no file
    /// (`<string>`, `<frozen importlib._bootstrap>`).
    fn source_line(&mut self, file: &str, line: u32, seen: SystemTime) -> Option<String> {
        if file.starts_with('<') {
            return None;
        }
        let path = match &self.directory {
            Some(directory) => directory.join(file),
            None => Path::new(file).to_owned(),
        };
        self.source.get(&path, line, seen)
    }
}
