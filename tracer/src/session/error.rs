//! Why a run gave no report.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{
    bpf::BpfError,
    cli::Exit,
    compare::RecordingError,
    python_objects::PythonObjectsError,
    sites::{FindError, SitesError},
    suppressions::SuppressionError,
    target::TargetError,
};

/// An error that ends a run.
#[derive(Debug, Error)]
pub enum SessionError {
    /// About the target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// About the kernel side.
    #[error(transparent)]
    Bpf(#[from] BpfError),
    /// `--python-objects exact` can't be had.
    #[error(transparent)]
    PythonObjects(#[from] PythonObjectsError),
    /// Nothing to probe.
    #[error(
        "no allocator found in process {pid}: {reason}; looked for malloc, calloc, realloc and free, also with the prefixes je_, _rjem_, tc_ and mi_, in {objects}"
    )]
    NoAllocator {
        /// The target.
        pid: crate::units::Pid,
        /// What kind of program it is, as far as that explains it.
        reason: &'static str,
        /// The objects that were searched.
        objects: String,
    },
    /// `--mark-fn` names nothing.
    #[error("--mark-fn {symbol}: {reason}")]
    MarkFunction {
        /// What was asked for.
        symbol: String,
        /// Why it can't be had, with near names.
        reason: String,
    },
    /// `--control` names nothing.
    #[error("--control: there is no {}; make it: mkfifo {}", path.display(), path.display())]
    FifoMissing {
        /// What was asked for.
        path: PathBuf,
    },
    /// `--control` names something else.
    #[error("--control: {} is no FIFO; take another name, and make it: mkfifo PATH", path.display())]
    NoFifo {
        /// What was asked for.
        path: PathBuf,
    },
    /// `--control`'s FIFO can't be used.
    #[error("--control: {} can't be opened for reading and writing; see its permissions", path.display())]
    Control {
        /// What was asked for.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The command can't be given a line of its own to us.
    #[error(
        "--mark-py: no folder for the Python program's marks can be made below {}; set TMPDIR to a folder that can be written to, with neither comma nor colon in its name", path.display()
    )]
    OwnLine {
        /// Where temporary folders are made.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An object could not be read.
    #[error("{}: can't be read as an ELF object", path.display())]
    Object {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: SitesError,
    },
    /// `--baseline` is no report.
    #[error("--baseline")]
    Baseline(#[from] RecordingError),
    /// `--suppressions` is no list of them.
    #[error(transparent)]
    Suppressions(#[from] SuppressionError),
    /// The report's file exists.
    #[error("{} exists already; use --force to replace it, or another name", path.display())]
    OutputExists {
        /// Its path.
        path: PathBuf,
    },
    /// The report can't be written.
    #[error("the report can't be written to {}", path.display())]
    Output {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No thread for the unwind tables.
    #[error("no thread can be started to make unwind tables; see `ulimit -u` and `ulimit -n`")]
    Builder(#[source] io::Error),
    /// No thread that takes probes out.
    #[error("no thread can be started to take out the probes of a run; see `ulimit -u`")]
    Retire(#[source] io::Error),
    /// The runtime refused something.
    #[error("waiting for events failed")]
    Runtime(#[source] io::Error),
    /// The child's end was not to be learned.
    #[error("the command's status can't be learned")]
    Wait(#[source] io::Error),
}

impl SessionError {
    /// The exit code of a run that ended so; `exec` has its own.
    pub fn exit(&self, under_exec: bool) -> Exit {
        match self {
            Self::Target(TargetError::CommandNotFound { .. }) => Exit::NotFound,
            Self::Target(TargetError::CommandNotExecutable { .. }) => Exit::NotExecutable,
            _ if under_exec => Exit::ExecFailed,
            _ => Exit::Failed,
        }
    }
}

impl From<FindError> for SessionError {
    fn from(error: FindError) -> Self {
        Self::MarkFunction { symbol: String::new(), reason: error.to_string() }
    }
}
