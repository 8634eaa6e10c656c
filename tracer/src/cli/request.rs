//! What the command line asks for.

use super::{
    Arguments, Command, UsageError,
    config::{Target, TraceConfig},
};
use crate::{doctor::DoctorConfig, units::Pid};

/// One of memtrace's commands, completely described.
#[derive(Clone, Debug)]
pub enum Request {
    /// `--pid` and `exec`.
    Trace(Box<TraceConfig>),
    /// `doctor`.
    Doctor(DoctorConfig),
}

impl Request {
    /// Gives the arguments their meaning.
    ///
    /// # Errors
    ///
    /// Where they contradict each other.
    pub fn resolve(arguments: Arguments) -> Result<Self, UsageError> {
        let mut runs = 1;
        let (target, trace) = match (arguments.command, arguments.pid) {
            (Some(Command::Exec(exec)), _) => {
                runs = exec.runs;
                (Target::Exec { command: exec.command, as_root: exec.as_root }, exec.trace)
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
        let config = TraceConfig::new(target, trace)?.repeated(runs)?;
        Ok(Self::Trace(Box::new(config)))
    }
}
