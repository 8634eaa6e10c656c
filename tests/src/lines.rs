//! What a child prints, read while it runs, so that it never blocks on a full pipe.

use std::{
    io::{BufRead as _, BufReader, Read},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Instant,
};

use anyhow::{Result, bail};

use crate::wait::LONG;

/// An output stream, line by line.
#[derive(Debug)]
pub(crate) struct Lines {
    incoming: Receiver<String>,
    seen: String,
}

impl Lines {
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, incoming) = mpsc::channel();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Self { incoming, seen: String::new() }
    }

    /// The next line that has `text` in it; those before it are passed over.
    pub(crate) fn find(&mut self, text: &str) -> Result<String> {
        let start = Instant::now();
        loop {
            match self.incoming.recv_timeout(LONG.saturating_sub(start.elapsed())) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    if line.contains(text) {
                        return Ok(line.trim_end().to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("no {text:?} in time, but:\n{}", self.seen),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("no {text:?} to the end, but:\n{}", self.seen)
                }
            }
        }
    }

    /// All of it, once the stream has ended: also what [`Lines::find`] passed over.
    pub(crate) fn rest(mut self) -> String {
        let start = Instant::now();
        while let Ok(line) = self.incoming.recv_timeout(LONG.saturating_sub(start.elapsed())) {
            self.seen.push_str(&line);
        }
        self.seen
    }
}
