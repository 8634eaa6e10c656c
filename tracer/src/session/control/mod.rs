//! A script's words out of one FIFO (`--control`), answers into another. Used by `marks`, also for the command's own pair.
//!
//! Writers come and go, and may write anything. Words are read only as fast as they are obeyed: a flood of them waits
//! in the pipe, where it stops its writer.

mod ack;
mod words;

use std::{collections::VecDeque, io, os::unix::fs::FileTypeExt as _, path::Path};

use std::os::fd::AsRawFd as _;

use tokio::net::unix::pipe::{OpenOptions, Receiver};

pub(super) use self::words::{Refused, Said, Word};
use self::{ack::Ack, words::Lines};
use super::SessionError;
use crate::cli::ControlFifos;

/// Lines that are obeyed together, with one drain for all their marks.
const BATCH: usize = 64;

/// Refused lines that are told of one by one.
const TOLD: u64 = 10;

/// An open pair of FIFOs.
#[derive(Debug)]
pub(super) struct Control {
    name: &'static str,
    receiver: Receiver,
    /// Not on the stack, for that is the future's.
    bytes: Box<[u8]>,
    ack: Option<Ack>,
    lines: Lines,
    said: VecDeque<Said>,
    refused: u64,
}

impl Control {
    /// Opens them; nobody needs to be at their other ends. `name` is what they are called in warnings.
    ///
    /// # Errors
    ///
    /// Where one is missing, is no FIFO, or can't be opened.
    pub(super) fn open(name: &'static str, fifos: &ControlFifos) -> Result<Self, SessionError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| SessionError::Control { path, source }
        };
        for path in std::iter::once(&fifos.control).chain(&fifos.ack) {
            check(path)?;
        }
        let receiver =
            OpenOptions::new().open_receiver(&fifos.control).map_err(failed(&fifos.control))?;
        let ack = match &fifos.ack {
            Some(path) => Some(Ack::open(name, path).map_err(failed(path))?),
            None => None,
        };
        Ok(Self {
            name,
            receiver,
            bytes: vec![0; 4096].into(),
            ack,
            lines: Lines::default(),
            said: VecDeque::new(),
            refused: 0,
        })
    }

    /// The next lines, at least one. What is not a mark is the last of its batch. Can be cancelled at any time.
    pub(super) async fn next(&mut self) -> Vec<Said> {
        while self.said.is_empty() {
            let read = match self.receiver.readable().await {
                Ok(()) => self.receiver.try_read(&mut self.bytes),
                Err(error) => Err(error),
            };
            match read {
                Ok(0) => self.writers_left(),
                Ok(read) => self.lines.feed(&self.bytes[..read], |said| self.said.push_back(said)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    tracing::warn!("{}: no more words are read: {error}", self.name);
                    std::future::pending::<()>().await;
                }
            }
        }
        self.batch()
    }

    /// Answers a line, once its effect is complete.
    pub(super) fn answer(&mut self, answer: Result<(), &Refused>) {
        if let Err(refused) = answer
            && *refused != Refused::Ended
        {
            self.refused += 1;
            if self.refused <= TOLD {
                tracing::warn!("{}: {refused}", self.name);
            }
            if self.refused == TOLD {
                tracing::warn!("{}: what else is refused is only counted", self.name);
            }
        }
        if let Some(ack) = &mut self.ack {
            ack.answer(answer);
        }
    }

    /// Lines that came too late are answered as well, so that nobody waits.
    pub(super) fn end(mut self) {
        /// More than a pipe holds by default.
        const MOST_READS: usize = 32;
        for _ in 0..MOST_READS {
            match rustix::io::read(&self.receiver, &mut *self.bytes) {
                Ok(read) if read > 0 => {
                    self.lines.feed(&self.bytes[..read], |said| self.said.push_back(said));
                }
                _ => break,
            }
        }
        for _ in 0..self.said.len() {
            self.answer(Err(&Refused::Ended));
        }
        if self.refused > TOLD {
            tracing::warn!("{}: {} lines were refused", self.name, self.refused);
        }
    }

    fn batch(&mut self) -> Vec<Said> {
        let mut batch = Vec::new();
        while let Some(said) = self.said.pop_front() {
            let joins = matches!(said, Ok(Word::Snapshot(_) | Word::Ping) | Err(_));
            batch.push(said);
            if !joins || batch.len() == BATCH {
                break;
            }
        }
        batch
    }

    /// The pipe ends when its last writer leaves, and says so for ever. Opened anew it waits for the next one. The old
    /// descriptor is closed only then, so that nothing is lost which a new writer has put in meanwhile.
    fn writers_left(&mut self) {
        if let Some(cut) = self.lines.end() {
            self.said.push_back(Err(cut));
        }
        let path = format!("/proc/self/fd/{}", self.receiver.as_raw_fd());
        match OpenOptions::new().open_receiver(path) {
            Ok(receiver) => self.receiver = receiver,
            Err(error) => tracing::warn!("{}: the FIFO can't be opened again: {error}", self.name),
        }
    }
}

/// Looks before opening: to open what is no FIFO may have effects.
fn check(path: &Path) -> Result<(), SessionError> {
    let path = path.to_owned();
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.file_type().is_fifo() => Ok(()),
        Ok(_) => Err(SessionError::NoFifo { path }),
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            Err(SessionError::FifoMissing { path })
        }
        Err(source) => Err(SessionError::Control { path, source }),
    }
}
