//! Where the report goes. Opened before the run, so that a bad path fails at once.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::mpsc::{self, Sender, SyncSender},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::SessionError;
use crate::cli::Output;

/// How long [`Sink::settle`] waits for a reader that pauses.
const PATIENCE: Duration = Duration::from_millis(500);

/// An open report.
///
/// A thread writes it: a reader that pauses, such as a pager, must not keep us from what the target waits for, or from
/// reading the events. Pieces wait in memory meanwhile; they are small.
#[derive(Debug)]
pub(super) struct Sink {
    path: PathBuf,
    /// The file, where we have made it and nothing is in it yet.
    empty: Option<PathBuf>,
    /// To the thread; `None` after the last piece.
    pieces: Option<Sender<Piece>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// What the thread is handed.
enum Piece {
    /// A part of the report.
    Text(Vec<u8>),
    /// Somebody wants to know when all before is written.
    Asked(SyncSender<()>),
}

enum Out {
    Stdout,
    Stderr,
    File(File),
}

impl Out {
    fn take(&mut self, piece: Piece) -> io::Result<()> {
        match piece {
            Piece::Text(bytes) => self.write(&bytes),
            Piece::Asked(asker) => {
                let _ = asker.try_send(()); // who has lost patience is gone
                Ok(())
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
            Self::Stderr => io::stderr().write_all(bytes),
            Self::File(file) => file.write_all(bytes),
        }
    }
}

impl Sink {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// Where the file exists and `--force` was not given, or can't be made.
    pub(super) fn open(output: &Output) -> Result<Self, SessionError> {
        let mut empty = None;
        let (path, mut out) = match output {
            Output::Stdout => (Path::new("stdout"), Out::Stdout),
            Output::Stderr => (Path::new("stderr"), Out::Stderr),
            Output::File { path, force } => {
                let file = open_file(path, *force)?;
                empty = (!force).then(|| path.clone());
                (path.as_path(), Out::File(file))
            }
        };
        let (pieces, queue) = mpsc::channel::<Piece>();
        let thread = thread::Builder::new()
            .name("report".to_owned())
            .spawn(move || queue.iter().try_for_each(|piece| out.take(piece)))
            .map_err(SessionError::Runtime)?;
        Ok(Self { path: path.to_owned(), empty, pieces: Some(pieces), thread: Some(thread) })
    }

    /// Hands in a piece of the report. `false` when nobody reads it any more.
    ///
    /// # Errors
    ///
    /// Where an earlier one couldn't be written for another reason.
    pub(super) fn write(&mut self, bytes: Vec<u8>) -> Result<bool, SessionError> {
        self.empty = None;
        match &self.pieces {
            // The thread ends only by an error, while there is somebody to send to it.
            Some(pieces) if pieces.send(Piece::Text(bytes)).is_ok() => Ok(true),
            _ => self.close(),
        }
    }

    /// Waits until what was handed in is written, but not for long where a reader pauses.
    pub(super) fn settle(&self) {
        let (asker, answer) = mpsc::sync_channel(1);
        let is_asked = |pieces: &Sender<Piece>| pieces.send(Piece::Asked(asker)).is_ok();
        if self.pieces.as_ref().is_some_and(is_asked) {
            let _ = answer.recv_timeout(PATIENCE);
        }
    }

    /// Hands in the last piece, and waits until all are written. `false` when nobody reads it any more.
    ///
    /// # Errors
    ///
    /// Where one can't be written for another reason.
    pub(super) fn finish(&mut self, bytes: Vec<u8>) -> Result<bool, SessionError> {
        Ok(self.write(bytes)? && self.close()?)
    }

    fn close(&mut self) -> Result<bool, SessionError> {
        self.pieces = None;
        let written = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join);
        let lost = || Err(io::Error::other("the thread that writes it ended"));
        match written.unwrap_or_else(|_| lost()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(source) => Err(SessionError::Output { path: self.path.clone(), source }),
        }
    }
}

impl Drop for Sink {
    /// What was handed in is written even where the run fails later. Where it fails before that, no empty file is left.
    fn drop(&mut self) {
        let _ = self.close();
        if let Some(path) = self.empty.take() {
            let _ = std::fs::remove_file(path);
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
