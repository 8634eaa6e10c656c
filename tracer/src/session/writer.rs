//! What a run prints, and when: a block per iteration under `--debug`, the report at the end.

use super::{
    SessionError, books, judging::Judge, names::Names, progress::Progress,
    python_pools::pool_report, recorder::Recorder, sink::Sink,
};
use crate::{
    cli::{Exit, Format, Target as ConfigTarget, TraceConfig},
    report::{
        self, Inputs, IterationBlock, MappingInputs, Palette, Report, Target, debug_iteration,
        stacks_of_interest, stacks_of_mappings,
    },
    target::Process,
};

/// The report in the making.
pub(super) struct Writer {
    sink: Sink,
    judge: Judge,
    names: Names,
    progress: Progress,
    target: Target,
    settings: serde_json::Value,
    format: Format,
    palette: Palette,
    debug: bool,
    attached: bool,
    top: usize,
}

impl Writer {
    /// Prepares to report on a process, while it lives.
    pub(super) fn new(config: &TraceConfig, sink: Sink, judge: Judge, process: &Process) -> Self {
        let command = match &config.target {
            ConfigTarget::Pid(_) => process.command().to_vec(),
            ConfigTarget::Exec { command, .. } => {
                command.iter().map(|word| word.to_string_lossy().into_owned()).collect()
            }
        };
        let attached = matches!(config.target, ConfigTarget::Pid(_));
        Self {
            sink,
            names: Names::of(process, judge.suppressions.clone(), config.native_frames),
            judge,
            progress: Progress::new(config),
            target: Target { pid: process.pid().0, command, exit_status: None },
            settings: serde_json::to_value(config).unwrap_or_default(),
            format: config.format,
            palette: if config.color { Palette::colour() } else { Palette::plain() },
            debug: config.debug,
            attached,
            top: config.top,
        }
    }

    /// Books the iterations that have ended, and reports each right away if asked to. `false` when nobody
    /// reads the report any more.
    ///
    /// # Errors
    ///
    /// Where it can't be written.
    pub(super) fn iterations(&mut self, recorder: &mut Recorder) -> Result<bool, SessionError> {
        while recorder.book_iteration() {
            self.progress.show(recorder);
            if !self.debug || self.format != Format::Text {
                continue;
            }
            self.names.add(recorder, stacks_of_interest(&recorder.ledger));
            let block = IterationBlock::of_last(&recorder.ledger, &self.names.stacks, self.top);
            if !self.sink.write(debug_iteration(&block, self.palette))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until what was reported so far can be read.
    pub(super) fn settle(&self) {
        self.sink.settle();
    }

    /// Writes the report. The recording has stopped.
    ///
    /// # Errors
    ///
    /// Where the kernel's maps can't be read or the report can't be written.
    pub(super) fn finish(
        &mut self,
        recorder: &Recorder,
        exit_status: Option<u8>,
    ) -> Result<Exit, SessionError> {
        self.progress.end();
        recorder.python.tell();
        self.target.pid = recorder.process.pid().0; // of several runs, the last one's
        self.target.exit_status = exit_status.map(i32::from);
        let keys: Vec<_> = recorder.ledger.stacks().map(|stack| stack.key()).collect();
        self.names.add(recorder, keys);
        self.names.add(recorder, stacks_of_mappings(&recorder.mappings));
        let survivors = books::survivors(recorder)?;
        let events = books::events(recorder, self.attached)?;
        let mappings =
            MappingInputs { books: &recorder.mappings, lost: books::lost_mappings(recorder)? };
        let python_pools = pool_report(recorder)?;
        let takers = python_pools.iter().flat_map(|pools| &pools.takers);
        self.names.add(recorder, takers.map(|taker| taker.key));
        let report = Report::build(Inputs {
            target: &self.target,
            settings: &self.settings,
            top: self.top,
            until_stable: recorder.goal.until_stable,
            ledger: &recorder.ledger,
            stacks: &self.names.stacks,
            survivors: &survivors,
            events: &events,
            mappings,
            python_objects: recorder.prober.objects.counted(),
            python_pools: python_pools.as_ref(),
            judging: self.judge.judging(),
        });
        let bytes = match (self.format, self.debug) {
            (Format::Json, _) => report::json(&report),
            (Format::Text, true) => report::detailed(&report, self.palette),
            (Format::Text, false) => report::short(&report, self.palette),
        };
        let written = self.sink.finish(bytes);
        // Also where nobody can read the report.
        let exit = self.judge.conclude(&report)?;
        written?;
        Ok(exit)
    }
}
