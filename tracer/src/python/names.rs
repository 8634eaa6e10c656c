//! Frames of Python's become frames of a report.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use tracer_common::PythonFrame;

use super::{
    CodeCopy, Interpreter, Unnamed,
    code::{PythonCode, Unread},
    codes::{Codes, Known},
};
use crate::{
    symbolize::{Frame, Language, MAX_NAME, SourceLines, SourceRoot, clean},
    units::Pid,
};

/// What stands for the name of code that was not read in time.
pub const FREED: &str = "<freed Python code>";

/// Reads code objects out of the target, and keeps what they are called: they may be freed at any time, so the sooner a frame is
/// looked at after it came in, the better. Each is read once. Belongs to one image of the process.
pub struct Names {
    codes: Codes,
    source: SourceLines,
    /// Where the target's relative names start.
    directory: Option<PathBuf>,
}

impl Names {
    /// Reads source lines below `root`; without it no source text is given. Relative file names are taken from the directory
    /// that the process works in now.
    pub fn new(pid: Pid, root: Option<SourceRoot>) -> Self {
        Self {
            codes: Codes::default(),
            source: SourceLines::new(root),
            directory: std::fs::read_link(format!("/proc/{pid}/cwd")).ok(),
        }
    }

    /// Takes a code object from its copy. To be called with each copy as it comes in: frames of it follow.
    pub fn keep(&mut self, interpreter: &Interpreter, copy: &CodeCopy) {
        self.codes.keep(interpreter, copy);
    }

    /// Reads the code objects of these frames that are not known yet. To be called with each stack as it comes in.
    pub fn learn(&mut self, interpreter: &Interpreter, frames: &[PythonFrame]) {
        for frame in frames {
            self.codes.get(interpreter, frame);
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
        &self.codes.get(interpreter, frame).code
    }

    /// What could not be named, so far.
    pub fn unnamed(&self) -> Unnamed {
        self.codes.unnamed()
    }

    /// The line of a frame, from 1.
    pub fn line_of(&mut self, interpreter: &Interpreter, frame: &PythonFrame) -> Option<u32> {
        self.code(interpreter, frame).as_ref().ok()?.line_of(frame.instruction)
    }

    /// The frame as reports show it: the module is the interpreter's object, the line that of the code object's beginning where
    /// the instruction has none, and none where lines are not known. No address, which would be another one in each run. Code that was freed before it was
    /// read is called [`FREED`].
    pub fn frame(&mut self, interpreter: &Interpreter, frame: &PythonFrame) -> Frame {
        let mut named = Frame {
            function: Some(FREED.to_owned()),
            module: clean(interpreter.object(), MAX_NAME),
            address: 0,
            offset: 0,
            file: None,
            line: None,
            source: None,
            inlined: false,
            language: Language::Python,
        };
        let Known { code: Ok(code), seen } = self.codes.get(interpreter, frame) else {
            return named;
        };
        // What has no line of its own has that of the whole; where lines are not known, none is made up.
        let lines = code.lines.as_ref();
        let line = lines.map(|it| it.line_of(frame.instruction).unwrap_or(code.first_line));
        named.offset = u64::try_from(frame.instruction).unwrap_or(0) * 2;
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
