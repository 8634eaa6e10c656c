//! The text of source lines.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    root::SourceRoot,
    text::{MAX_LINE, clean},
};

/// Largest source file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;
/// Most bytes of source files that are kept; beyond it the cache starts anew.
const MAX_KEPT: usize = 64 << 20;
/// Most files that are kept, read or not.
const MAX_FILES: usize = 4096;

/// Reads source files under the target's root, and keeps them.
pub(crate) struct SourceLines {
    root: Option<SourceRoot>,
    files: HashMap<PathBuf, Option<Source>>,
    kept: usize,
}

struct Source {
    modified: SystemTime,
    text: Vec<u8>,
    /// Where each line starts.
    starts: Vec<u32>,
}

impl SourceLines {
    pub(crate) fn new(root: Option<SourceRoot>) -> Self {
        Self { root, files: HashMap::new(), kept: 0 }
    }

    /// The text of a line (from 1), trimmed and safe to print. `None` unless the file can be read and was
    /// not changed after `built`, when the object was.
    pub(crate) fn get(&mut self, path: &Path, line: u32, built: SystemTime) -> Option<String> {
        // `/rustc/<hash>/…` is where the standard library was built, on nobody's machine.
        if !path.is_absolute() || path.starts_with("/rustc") {
            return None;
        }
        let source = self.load(path)?;
        (source.modified <= built).then(|| source.line(line))?
    }

    fn load(&mut self, path: &Path) -> Option<&Source> {
        if !self.files.contains_key(path) {
            let source = self.root.as_ref().and_then(|root| Source::read(root, path).ok());
            let size = source.as_ref().map_or(0, |source| source.text.len());
            if self.kept + size > MAX_KEPT || self.files.len() >= MAX_FILES {
                self.files.clear();
                self.kept = 0;
            }
            self.kept += size;
            self.files.insert(path.to_owned(), source);
        }
        self.files.get(path)?.as_ref()
    }
}

impl Source {
    fn read(root: &SourceRoot, path: &Path) -> io::Result<Self> {
        let file: File = root.open_regular(path)?;
        let stat = file.metadata()?;
        if stat.len() > MAX_FILE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut text = Vec::new();
        file.take(stat.len()).read_to_end(&mut text)?;
        let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at as u32 + 1)).collect();
        Ok(Self { modified: stat.modified()?, text, starts })
    }

    fn line(&self, line: u32) -> Option<String> {
        let index = (line as usize).checked_sub(1)?;
        let rest = self.text.get(*self.starts.get(index)? as usize..)?;
        let line = rest.split(|byte| *byte == b'\n').next()?.trim_ascii();
        // Four bytes a character at most: what is cut off here would be cut off below.
        let line = String::from_utf8_lossy(&line[..line.len().min(4 * MAX_LINE + 4)]);
        (!line.is_empty()).then(|| clean(&line, MAX_LINE))
    }
}
