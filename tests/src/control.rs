//! The two FIFOs of `--control`, as a script has them.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use tempfile::TempDir;

use crate::lines::Lines;

/// A pair of FIFOs, and what comes out of the second.
#[derive(Debug)]
pub struct ControlFifos {
    folder: TempDir,
    answers: Lines,
}

impl ControlFifos {
    /// Makes them, and listens to the answers.
    ///
    /// # Errors
    ///
    /// Where they can't be made.
    pub fn make() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for name in ["ctl", "ack"] {
            make_fifo(&folder.path().join(name))?;
        }
        // For writing, too: so it opens at once, and does not end with memtrace.
        let ack = OpenOptions::new().read(true).write(true).open(folder.path().join("ack"))?;
        Ok(Self { folder, answers: Lines::of(ack) })
    }

    /// memtrace's argument for them.
    pub fn argument(&self) -> String {
        let folder = self.folder.path().display();
        format!("fifo:{folder}/ctl,{folder}/ack")
    }

    /// The first one's path.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("ctl")
    }

    /// A writer of its own. memtrace must be listening already.
    ///
    /// # Errors
    ///
    /// Where it isn't.
    pub fn writer(&self) -> Result<File> {
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().write(true).custom_flags(nonblocking).open(self.path());
        let file = file.context("nobody reads the control FIFO")?;
        // From here on it waits, as a script's writer does.
        rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
        Ok(file)
    }

    /// Writes one line, as a writer that comes and goes.
    ///
    /// # Errors
    ///
    /// Where memtrace does not listen.
    pub fn write(&self, word: &str) -> Result<()> {
        Ok(self.writer()?.write_all(format!("{word}\n").as_bytes())?)
    }

    /// The next answer.
    ///
    /// # Errors
    ///
    /// Where none comes in time.
    pub fn answer(&mut self) -> Result<String> {
        self.answers.find("")
    }

    /// Writes one line, and waits until it was obeyed.
    ///
    /// # Errors
    ///
    /// Where the answer is another than `ack`.
    pub fn say(&mut self, word: &str) -> Result<()> {
        self.write(word)?;
        let answer = self.answer()?;
        ensure!(answer == "ack", "{word}: {answer}");
        Ok(())
    }
}

/// Makes a FIFO.
///
/// # Errors
///
/// Where that can't be.
pub fn make_fifo(path: &Path) -> Result<()> {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .with_context(|| path.display().to_string())
}
