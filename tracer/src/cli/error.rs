//! Arguments that make no sense together.

use std::path::PathBuf;

use thiserror::Error;

/// What is wrong with the command line, and what to type instead. Exit code 2.
#[derive(Debug, Error)]
pub enum UsageError {
    /// Neither a process nor a command.
    #[error(
        "nothing to trace; name a process with --pid PID, or a command with `memtrace exec -- CMD`"
    )]
    NoTarget,
    /// No size can pass both filters.
    #[error("--min-size {min_size} is above --max-size {max_size}: no block could be recorded")]
    NoSizeLeft {
        /// Bytes.
        min_size: u64,
        /// Bytes.
        max_size: u64,
    },
    /// Something else than the end of a run would end its iteration.
    #[error(
        "--runs {runs} makes each run of the command one iteration: leave out {option}, or --runs"
    )]
    RunsAndMarks {
        /// Runs.
        runs: u32,
        /// What marks as well.
        option: &'static str,
    },
    /// The whole run would be the one iteration.
    #[error(
        "--until-stable compares iterations, and nothing ends one: add --interval, --mark-fn, --control or, under exec, --mark-py or --runs"
    )]
    NothingToCompare,
    /// Nothing is left to measure.
    #[error("--warmup {warmup} leaves none of --runs {runs} to compare: at least {} runs are needed", warmup + 1)]
    OnlyWarmup {
        /// Runs that form the baseline.
        warmup: usize,
        /// All of them.
        runs: u32,
    },
    /// Half of the option's value is missing.
    #[error("--mark-fn {text}: write SYMBOL or SYMBOL@OBJECT")]
    EmptyMarkFunction {
        /// What was typed.
        text: String,
    },
    /// No function of Python.
    #[error(
        "--mark-py {text}: write MODULE:FUNCTION, as in app:handle, shop.cart:Cart.checkout or __main__:main"
    )]
    MarkPython {
        /// What was typed.
        text: String,
    },
    /// Calls of nothing.
    #[error(
        "--mark-every counts calls of a function: add --mark-fn SYMBOL or, under exec, --mark-py MODULE:FUNCTION"
    )]
    NothingToCount,
    /// Not two FIFOs, nor one.
    #[error(
        "--control {text}: write fifo:CTL or fifo:CTL,ACK with the paths of two FIFOs that `mkfifo` made"
    )]
    Control {
        /// What was typed.
        text: String,
    },
    /// Nothing that a baseline could be taken off.
    #[error(
        "--baseline {} is for gates: add --fail-on-growth SIZE or --fail-on-growth-per-stack SIZE", baseline.display()
    )]
    BaselineWithoutGate {
        /// What was typed.
        baseline: PathBuf,
    },
    /// No file that could exist already.
    #[error("--force replaces a file: add -o FILE or --junit FILE")]
    NothingToReplace,
}
