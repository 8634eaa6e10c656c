//! What goes into the books.

use serde::Serialize;
use tracer_common::{RowCounts, Space, Trigger};

use super::{ClassSample, MemorySample, StackKey, StartSample, mappings::MappingTotals};

/// What made the mark that ended an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkTrigger {
    /// The clock, `--interval`.
    Interval,
    /// An entry of `--mark-fn`'s function.
    MarkFn,
    /// The USDT probe `memtrace:iteration`.
    Usdt,
    /// `snapshot` on `--control`'s fifo.
    Control,
    /// SIGUSR2 to memtrace.
    Signal,
    /// Enter on the terminal.
    Key,
    /// The end of one of `--runs`.
    Run,
    /// No mark: the trace ended.
    End,
}

impl MarkTrigger {
    /// As in the JSON document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interval => "interval",
            Self::MarkFn => "mark_fn",
            Self::Usdt => "usdt",
            Self::Control => "control",
            Self::Signal => "signal",
            Self::Key => "key",
            Self::Run => "run",
            Self::End => "end",
        }
    }
}

impl From<Trigger> for MarkTrigger {
    /// An epoch that nobody ended (`Trigger::None`) was ended by the end of the trace.
    fn from(trigger: Trigger) -> Self {
        match trigger {
            Trigger::Interval => Self::Interval,
            Trigger::MarkFn => Self::MarkFn,
            Trigger::Control => Self::Control,
            Trigger::Signal => Self::Signal,
            Trigger::Key => Self::Key,
            Trigger::Usdt => Self::Usdt,
            Trigger::None | Trigger::Exec | Trigger::Full | Trigger::End => Self::End,
        }
    }
}

/// What is known before the first epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// How many iterations only form the baseline.
    pub warmup: usize,
    /// The target's RSS when the trace began, in bytes, if it could be read.
    pub rss_at_start: Option<u64>,
    /// The same exactly, if that was read.
    pub memory_at_start: Option<StartSample>,
    /// Python's objects by size class when the trace began, if they were read.
    pub classes_at_start: Option<ClassSample>,
}

/// A finished epoch: what happened from one mark to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochRecord {
    /// What made the mark that ended it.
    pub trigger: MarkTrigger,
    /// The name that the mark's maker gave it.
    pub label: Option<String>,
    /// Whether it is what follows the last mark. The first epoch never is.
    pub partial: bool,
    /// `CLOCK_MONOTONIC` at its start, in ns.
    pub start_ns: u64,
    /// `CLOCK_MONOTONIC` at its end, in ns.
    pub end_ns: u64,
    /// Highest live bytes that the kernel side saw.
    pub peak_bytes: u64,
    /// The target's RSS at its end, in bytes; 0 where it could not be read.
    pub rss_bytes: u64,
    /// The same exactly, with what it is made of, where that was read.
    pub memory: Option<MemorySample>,
    /// Python's objects by size class at its end, where they were read.
    pub classes: Option<ClassSample>,
    /// What was mapped and unmapped in it, over all stacks.
    pub mappings: MappingTotals,
    /// What happened to the blocks of each stack, in any order.
    pub rows: Vec<(StackKey, RowCounts)>,
    /// Whether a process of its own begins with this epoch: the blocks of the one before ended with that, and
    /// address spaces are numbered anew.
    pub new_process: bool,
    /// The address space that an `execve` in this epoch began: the blocks of all older ones went with
    /// their image. What has no stack goes by the space of its [`StackKey`] too.
    pub exec: Option<Space>,
}
