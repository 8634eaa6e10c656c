//! What the command line asks for.

use std::path::PathBuf;

use super::{
    Arguments, Command, UsageError,
    config::{Format, Output, Target, TraceConfig},
};
use crate::{compare::Filter, doctor::DoctorConfig, units::Pid};

/// One of memtrace's commands, completely described.
#[derive(Clone, Debug)]
pub enum Request {
    /// `--pid` and `exec`.
    Trace(Box<TraceConfig>),
    /// `diff`.
    Diff(DiffConfig),
    /// `doctor`.
    Doctor(DoctorConfig),
}

/// `diff`, completely described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffConfig {
    /// The first report.
    pub before: PathBuf,
    /// The second one.
    pub after: PathBuf,
    /// Which stacks are listed.
    pub filter: Filter,
    /// Stacks per list.
    pub top: usize,
    /// What it is written as.
    pub format: Format,
    /// Whether it is coloured.
    pub color: bool,
}

impl Request {
    /// Gives the arguments their meaning.
    ///
    /// # Errors
    ///
    /// Where they contradict each other.
    pub fn resolve(arguments: Arguments) -> Result<Self, UsageError> {
        let (mut runs, mut mark_py) = (1, None);
        let (target, trace) = match (arguments.command, arguments.pid) {
            (Some(Command::Exec(exec)), _) => {
                (runs, mark_py) = (exec.runs, exec.mark_py);
                (Target::Exec { command: exec.command, as_root: exec.as_root }, exec.trace)
            }
            (Some(Command::Diff(diff)), _) => {
                return Ok(Self::Diff(DiffConfig {
                    before: diff.before,
                    after: diff.after,
                    filter: diff.filter.into(),
                    top: diff.top,
                    format: diff.format.into(),
                    color: Output::Stdout.is_coloured(diff.color),
                }));
            }
            (Some(Command::Doctor(doctor)), _) => {
                return Ok(Self::Doctor(DoctorConfig {
                    pid: doctor.pid.map(Pid),
                    max_live: doctor.capacity.max_live,
                    max_stacks: doctor.capacity.max_stacks,
                }));
            }
            (None, Some(pid)) => (Target::Pid(Pid(pid)), arguments.trace),
            (None, None) => return Err(UsageError::NoTarget),
        };
        let config = TraceConfig::new(target, trace, mark_py.as_deref())?.repeated(runs)?;
        Ok(Self::Trace(Box::new(config)))
    }
}
