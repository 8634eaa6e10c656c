//! Answers to a script. They never make memtrace wait: what nobody takes out of the pipe is dropped, and counted.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::Refused;

/// The FIFO that answers go into.
#[derive(Debug)]
pub(super) struct Ack {
    name: &'static str,
    file: File,
    path: PathBuf,
    dropped: u64,
}

impl Ack {
    /// Opens it, whether anybody reads there or not.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(super) fn open(name: &'static str, path: &Path) -> io::Result<Self> {
        // For reading as well: so it can be opened before its reader is there, and outlives each of them.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        Ok(Self { name, file, path: path.to_owned(), dropped: 0 })
    }

    /// Answers one line: `ack`, or `error` and why.
    pub(super) fn answer(&mut self, answer: Result<(), &Refused>) {
        let line = match answer {
            Ok(()) => "ack\n".to_owned(),
            Err(refused) => format!("error {refused}\n"),
        };
        // A line this short goes into a pipe as a whole, or not at all.
        if self.file.write(line.as_bytes()).is_ok_and(|written| written == line.len()) {
            return;
        }
        self.dropped += 1;
        if self.dropped == 1 {
            tracing::warn!(
                "{}: {} is full: nobody reads the answers, so they are dropped",
                self.name,
                self.path.display()
            );
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if self.dropped > 0 {
            tracing::warn!(
                "{}: {} answers did not fit into {}, and were dropped",
                self.name,
                self.dropped,
                self.path.display()
            );
        }
    }
}
