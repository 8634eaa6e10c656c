//! The line that a command under `exec` has to memtrace: a pair of FIFOs of its own, named by a variable of its environment.
//! So a program can mark its own iterations (`python/memtrace.py`), and a script that has `--control` meanwhile gets
//! no answer of the program's.
//!
//! All of it is in one folder that only the command's user can enter, and that goes with this value.

mod hook;
mod switches;

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{chown, fchown},
    path::Path,
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use tempfile::TempDir;

use self::{hook::Hook, switches::keeps_hook_off};
use super::{SessionError, control::Control};
use crate::{
    cli::{ControlFifos, TraceConfig},
    target::{Identity, Process},
};

/// The variable, with `fifo:CTL,ACK`.
const VARIABLE: &str = "MEMTRACE_CONTROL";

/// A folder with FIFOs and, with `--mark-py`, what Python is to load.
#[derive(Debug)]
pub(super) struct OwnLine {
    folder: TempDir,
    owner: Option<Identity>,
    hook: Option<Hook>,
    environment: Vec<(&'static str, OsString)>,
}

impl OwnLine {
    /// Makes one for a command that runs as this user, and listens to it. `None` with several runs, of which each is one
    /// iteration, and where it can't be made and nobody asked for it.
    ///
    /// # Errors
    ///
    /// Where it can't be made and `--mark-py` needs it.
    pub(super) fn for_command(
        config: &TraceConfig,
        identity: Option<&Identity>,
    ) -> Result<Option<(Self, Control)>, SessionError> {
        if config.runs > 1 {
            return Ok(None);
        }
        match Self::make(config, identity) {
            Ok(made) => Ok(Some(made)),
            Err(source) if config.mark_py.is_some() => {
                Err(SessionError::OwnLine { path: std::env::temp_dir(), source })
            }
            Err(error) => {
                tracing::warn!(
                    "the command can't mark iterations of its own: no folder for its FIFOs can be made below {} (TMPDIR): {error}",
                    std::env::temp_dir().display()
                );
                Ok(None)
            }
        }
    }

    /// What the command's environment needs.
    pub(super) fn environment(&self) -> &[(&'static str, OsString)] {
        &self.environment
    }

    /// The command has been started, and does nothing yet.
    ///
    /// # Errors
    ///
    /// Where its pid can't be written down: other processes would mark as well.
    pub(super) fn started(&self, process: &Process) -> Result<(), SessionError> {
        let failed = |source| SessionError::OwnLine { path: self.folder.path().to_owned(), source };
        // Whoever shares the user's rights may have put something there meanwhile: it is not followed.
        let mut file = File::create_new(self.folder.path().join("ctl.pid")).map_err(failed)?;
        write!(file, "{}", process.pid().0).map_err(failed)?;
        if let Some(Identity { uid, gid, .. }) = &self.owner {
            fchown(&file, Some(uid.as_raw()), Some(gid.as_raw())).map_err(failed)?;
        }
        if let (Some(hook), Some(switch)) = (&self.hook, keeps_hook_off(process.command())) {
            tracing::warn!("--mark-py {}: {}", hook.name(), switch.reason());
        }
        Ok(())
    }

    /// Says what became of `--mark-py`, if that is not what was asked for. At the end of the trace.
    pub(super) fn tell_of_hook(&self) {
        if let Some(reason) = self.hook.as_ref().and_then(Hook::failure) {
            tracing::warn!("{reason}");
        }
    }

    fn make(config: &TraceConfig, identity: Option<&Identity>) -> io::Result<(Self, Control)> {
        // Only its owner can enter it.
        let folder = tempfile::Builder::new().prefix("memtrace-").tempdir()?;
        let path = folder.path();
        let text = path.to_str().filter(|path| !path.contains([',', ':', '\n']));
        let text = text.ok_or_else(|| io::Error::other("its name has a comma or a colon"))?;
        let fifos = ControlFifos { control: path.join("ctl"), ack: Some(path.join("ack")) };
        for fifo in std::iter::once(&fifos.control).chain(&fifos.ack) {
            mkfifo(fifo, Mode::S_IRUSR | Mode::S_IWUSR)?;
        }
        // Before the folder is the user's, so that these are what we have made.
        let control = Control::open(VARIABLE, &fifos).map_err(io::Error::other)?;
        let mut environment = vec![(VARIABLE, format!("fifo:{text}/ctl,{text}/ack").into())];
        let hook = match &config.mark_py {
            Some(function) => Some(Hook::write(path, function, config.mark_every)?),
            None => None,
        };
        environment.extend(hook.iter().map(Hook::variable));
        if let Some(identity) = identity {
            give(path, identity)?;
        }
        Ok((Self { folder, owner: identity.cloned(), hook, environment }, control))
    }
}

/// Makes a folder and all in it the user's. Nobody else can have put anything there yet.
fn give(path: &Path, identity: &Identity) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), identity)?;
        }
    }
    chown(path, Some(identity.uid.as_raw()), Some(identity.gid.as_raw()))
}
