//! From finished epochs to iterations: most epochs are one, some are parts of one.

use std::collections::BTreeMap;

use tracer_common::{Epoch, MapEvent, RowCounts, Space, Trigger};

use super::recorder::Recorder;
use crate::{
    bpf::FinishedEpoch,
    ledger::{
        ClassSample, EpochRecord, MarkTrigger, MemorySample, StackKey,
        mappings::{Change, UnknownChange},
    },
};

/// What was drained of an iteration that has not ended: before an `execve`, before rows had to be drained, or after the last mark
/// that counts.
#[derive(Debug, Default)]
pub(super) struct Pending {
    start_ns: u64,
    peak_bytes: u64,
    /// Ordered, so that the same input is booked in the same order.
    pub(super) rows: BTreeMap<StackKey, RowCounts>,
    exec: Option<Space>,
    spaces: u32,
}

impl Pending {
    /// Of an iteration that begins now.
    pub(super) fn since(start_ns: u64) -> Self {
        Self { start_ns, ..Self::default() }
    }
}

impl Recorder {
    /// Books the next iteration that has ended; `false` when there is none.
    pub(super) fn book_iteration(&mut self) -> bool {
        while let Some(epoch) = self.finished.pop_front() {
            if self.book(epoch) {
                return true;
            }
        }
        false
    }

    /// Books a change of mappings, or puts it aside until the epochs before it are booked. Of two changes that
    /// depend on each other the later one has no earlier epoch, so their order stays.
    pub(super) fn keep_mapping(&mut self, event: &MapEvent) {
        let mut event = *event;
        event.stack =
            self.final_key(StackKey { space: event.header.space, stack: event.stack }).stack;
        let present = event.epoch.0 <= self.iteration_of.len();
        match Change::of(&event) {
            Ok(Some(change)) if present && !self.later.contains_key(&event.epoch) => {
                self.mappings.apply(&change);
            }
            Ok(Some(change)) => self.later.entry(event.epoch).or_default().push(change),
            Ok(None) => {}
            Err(UnknownChange) => self.malformed_events += 1,
        }
    }

    /// Whether the epoch completed an iteration.
    fn book(&mut self, epoch: FinishedEpoch) -> bool {
        let enough = self.has_enough();
        let end = self.repeated.end_trigger(&self.process);
        let deferred = &self.deferred;
        let pending = &mut self.pending;
        let rows = epoch
            .rows
            .into_iter()
            .map(|(space, stack, counts)| (deferred.final_key(StackKey { space, stack }), counts));
        for (key, counts) in rows {
            pending.rows.entry(key).or_default().add(&counts);
        }
        pending.peak_bytes = pending.peak_bytes.max(epoch.peak_bytes);
        debug_assert_eq!(epoch.epoch, Epoch(self.iteration_of.len()));
        let label = self.labels.remove(&epoch.epoch);
        self.iteration_of.push(self.iterations + 1);
        for change in self.later.remove(&epoch.epoch).unwrap_or_default() {
            self.mappings.apply(&change);
        }
        if epoch.trigger == Some(Trigger::Exec) {
            pending.spaces += 1;
            pending.exec = Some(Space(pending.spaces));
            self.mappings.exec();
            return false;
        }
        if epoch.trigger == Some(Trigger::Full) {
            return false;
        }
        // Marks that were made before we could stop are not asked for: they join what follows the last one.
        if enough && epoch.trigger != Some(Trigger::End) {
            return false;
        }
        let trigger = match epoch.trigger.map_or(MarkTrigger::End, MarkTrigger::from) {
            MarkTrigger::End => end,
            trigger => trigger,
        };
        let spaces = pending.spaces;
        let pending =
            std::mem::replace(pending, Pending { spaces, ..Pending::since(epoch.end_ns) });
        self.iterations += 1;
        let memory = self.sample_memory();
        let classes = self.sample_classes();
        self.ledger.push(EpochRecord {
            trigger,
            label,
            partial: trigger == MarkTrigger::End,
            start_ns: pending.start_ns,
            end_ns: epoch.end_ns,
            peak_bytes: pending.peak_bytes,
            rss_bytes: memory.map_or_else(|| self.last_rss(), |memory| memory.rss_bytes),
            memory,
            classes,
            mappings: self.mappings.totals(),
            rows: pending.rows.into_iter().collect(),
            new_process: self.repeated.is_one_of_several,
            exec: pending.exec,
        });
        if let Some(last) = self.ledger.last() {
            self.mappings.close(last.partial, last.warmup && !self.ledger.in_warmup());
        }
        self.goal.booked(&self.ledger);
        true
    }

    /// Reads the target's memory at the mark that is booked, if it is the last one made.
    fn sample_memory(&mut self) -> Option<MemorySample> {
        let needed = self.is_last_mark_needed()?;
        self.memory.sample(&self.process, &self.mappings, needed)
    }

    /// Reads Python's objects by size class, likewise.
    fn sample_classes(&mut self) -> Option<ClassSample> {
        let needed = self.is_last_mark_needed()?;
        let pid = self.process.pid();
        let sample =
            self.prober.objects.sample_classes(pid, &self.modules, needed, &mut self.kernel);
        if sample.is_some() {
            self.prober.objects.note_others(self.python.others());
        }
        sample
    }

    /// Whether growth is taken from or to the mark that is booked; `None` where the target has gone on to another one, or to
    /// another run.
    fn is_last_mark_needed(&self) -> Option<bool> {
        if self.repeated.is_one_of_several || self.is_followed() {
            return None;
        }
        Some(!self.is_recording() || self.goal.is_decisive(&self.ledger, self.iterations))
    }

    /// Whether another mark has followed the one that is booked.
    fn is_followed(&self) -> bool {
        self.finished.iter().any(|epoch| epoch.trigger != Some(Trigger::Full))
    }

    /// As it was read when the mark that is booked was heard of; 0 for one that others have followed since. Of a run
    /// that has ended there is no more to be learned, and what it had a while before is something else.
    fn last_rss(&self) -> u64 {
        let unknown = self.repeated.is_one_of_several || self.is_followed();
        if unknown { 0 } else { self.rss_bytes }
    }
}
