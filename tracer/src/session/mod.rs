//! One run from start to end: finds the target, sets probes, turns epochs into iterations as they end, and
//! writes the report. The only place where the stages of the data's way meet, and the only async one.

mod booking;
mod books;
mod builder;
mod control;
mod deferred;
mod epoch_index;
mod error;
mod exec;
mod follow;
mod goal;
mod holds;
mod judging;
mod keyboard;
mod launch;
mod linkers;
mod mark_function;
mod marks;
mod memory;
mod merged;
mod names;
mod own_line;
mod pace;
mod pid;
mod prober;
mod progress;
mod python;
mod python_classes;
mod python_code;
mod python_frames;
mod python_objects;
mod python_pools;
mod recorder;
mod repeated;
mod retired;
mod sink;
mod splice;
mod stacks;
mod steps;
mod unwinding;
mod upheavals;
mod usdt;
mod writer;

pub use error::SessionError;

use crate::cli::{Exit, Target, TraceConfig};

/// Runs what the command line asks for.
///
/// # Errors
///
/// Whatever kept the run from giving a report.
pub async fn run(config: TraceConfig) -> Result<Exit, SessionError> {
    match &config.target {
        Target::Pid(pid) => pid::run(&config, *pid).await,
        Target::Exec { command, as_root } => exec::run(&config, command, *as_root).await,
    }
}
