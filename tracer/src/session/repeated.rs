//! What a recorder does differently where its process is one of several runs of a command.

use std::process::ExitStatus;

use super::{SessionError, books::Counted, recorder::Recorder};
use crate::{
    ledger::{Ledger, MarkTrigger, Plan},
    target::Process,
};

/// One of several runs, or the only one.
#[derive(Debug)]
pub(super) struct Repeated {
    /// Whether there are several, each of which is an iteration.
    pub(super) is_one_of_several: bool,
    /// How it ended, if it did so before its program's first instruction and was waited for.
    pub(super) ended_early: Option<ExitStatus>,
    /// What the kernel sides of earlier runs counted.
    pub(super) earlier: Counted,
}

impl Repeated {
    /// Of a process that has just begun.
    pub(super) fn new(is_one_of_several: bool) -> Self {
        Self { is_one_of_several, ended_early: None, earlier: Counted::default() }
    }

    /// What the trace's end is: of a run that did what it should, the end of an iteration like any other. One that
    /// failed or was cut short did something else than the others.
    pub(super) fn end_trigger(&self, process: &Process) -> MarkTrigger {
        let succeeded =
            || self.ended_early.map_or_else(|| process.has_succeeded(), |status| status.success());
        if self.is_one_of_several && succeeded() { MarkTrigger::Run } else { MarkTrigger::End }
    }
}

impl Recorder {
    /// Goes on with the books of an earlier run, which are closed. Nothing was booked for this one.
    ///
    /// # Errors
    ///
    /// Where the earlier one's maps can't be read.
    pub(super) fn go_on_after(&mut self, earlier: &mut Self) -> Result<(), SessionError> {
        self.repeated.earlier = Counted::of(earlier)?;
        self.ledger = std::mem::replace(&mut earlier.ledger, Ledger::new(Plan::default()));
        self.mappings = std::mem::take(&mut earlier.mappings);
        self.mappings.exec(); // the process ended
        self.stacks = std::mem::take(&mut earlier.stacks);
        self.python.frames.go_on_after(&mut earlier.python.frames);
        self.malformed_events = earlier.malformed_events;
        self.interruptions = earlier.interruptions;
        self.iterations = earlier.iterations;
        Ok(())
    }
}
