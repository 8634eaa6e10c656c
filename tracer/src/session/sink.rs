//! Where the report goes. Opened before the run, so that a bad path fails at once.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::SessionError;
use crate::cli::Output;

/// An open report.
#[derive(Debug)]
pub(super) struct Sink {
    path: PathBuf,
    out: Out,
}

#[derive(Debug)]
enum Out {
    Stdout,
    Stderr,
    File(File),
}

impl Sink {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// Where the file exists and `--force` was not given, or can't be made.
    pub(super) fn open(output: &Output) -> Result<Self, SessionError> {
        let (path, out) = match output {
            Output::Stdout => (Path::new("stdout"), Out::Stdout),
            Output::Stderr => (Path::new("stderr"), Out::Stderr),
            Output::File { path, force } => (path.as_path(), Out::File(open_file(path, *force)?)),
        };
        Ok(Self { path: path.to_owned(), out })
    }

    /// Writes a piece of the report. `false` when nobody reads it any more.
    ///
    /// # Errors
    ///
    /// Where it can't be written for another reason.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<bool, SessionError> {
        let written = match &mut self.out {
            Out::Stdout => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
            Out::Stderr => io::stderr().write_all(bytes),
            Out::File(file) => file.write_all(bytes),
        };
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(source) => Err(SessionError::Output { path: self.path.clone(), source }),
        }
    }
}

/// Makes a file; replaces one only by force.
///
/// # Errors
///
/// Where it exists or can't be made.
pub(super) fn open_file(path: &Path, force: bool) -> Result<File, SessionError> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => SessionError::OutputExists { path: path.to_owned() },
        _ => SessionError::Output { path: path.to_owned(), source },
    })
}
