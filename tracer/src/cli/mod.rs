//! The command line, in two steps: [`Arguments`] is what was typed, [`TraceConfig`] what it means.
//! The only place that names clap.

mod arguments;
mod config;
mod control;
mod diff;
mod error;
mod exit;
mod judging;
mod python_function;
mod request;
mod talk;

#[cfg(test)]
mod config_tests;

pub use arguments::{Arguments, BenchMode, Command};
pub use config::{Format, MarkFunction, Output, PythonObjects, Target, TraceConfig};
pub use control::ControlFifos;
pub use error::UsageError;
pub use exit::Exit;
pub use judging::JudgingConfig;
pub use python_function::PythonFunction;
pub use request::{DiffConfig, Request};
pub use talk::set_up_talk;
