//! How memtrace ends. The numbers are part of its interface: docs/cli.md lists them.

use std::process::ExitCode;

/// How a run ended, as far as the caller's shell is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All done.
    Done,
    /// memtrace failed.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// A gate tripped.
    Growth,
    /// `--strict`, and data is missing.
    Incomplete,
    /// Under `exec`: memtrace failed, so the command's status is not known.
    ExecFailed,
    /// Under `exec`: the command can't be executed.
    NotExecutable,
    /// Under `exec`: there is no such command.
    NotFound,
    /// Under `exec`: the command's own status; 128 + n for a signal.
    Child(u8),
}

impl Exit {
    /// The number for the shell.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Growth => 3,
            Self::Incomplete => 4,
            Self::ExecFailed => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Child(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
