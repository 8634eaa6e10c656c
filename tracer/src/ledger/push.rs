//! How an epoch is booked.

use tracer_common::{RowCounts, Space};

use super::{Amount, EpochRecord, Iteration, Ledger, MarkTrigger, StackKey, iteration::add_counts};

impl Ledger {
    /// Books a finished epoch. Epochs come in order, each once.
    pub fn push(&mut self, mut record: EpochRecord) {
        self.pushed = self.pushed.saturating_add(1);
        let (rows, exec) = (std::mem::take(&mut record.rows), record.exec);
        let (new_process, memory) = (record.new_process, record.memory);
        let classes = record.classes;
        let mut iteration = self.open(record);
        let entry = self.timeline.position(&iteration);
        let ended = if new_process { self.end_process(entry) } else { Amount::ZERO };
        let start = self.live;
        self.book_rows(entry, &rows, &mut iteration.counts);
        let replaced = self.drop_replaced(entry, exec);
        self.live += Amount::net(&iteration.counts) - replaced;
        iteration.dropped = ended + replaced;
        iteration.live = self.live;
        let at_ends = start.bytes.max(self.live.bytes).max(0) as u64;
        iteration.peak_bytes = iteration.peak_bytes.max(at_ends);

        if !iteration.partial {
            self.mark_rss = (iteration.rss_bytes > 0).then_some(iteration.rss_bytes);
        }
        let is_baseline = iteration.warmup && self.pushed as usize == self.plan.warmup;
        if !iteration.partial {
            self.memory.mark(self.pushed, self.live.bytes, memory, is_baseline);
        }
        self.classes.end(self.pushed, classes.as_ref(), !iteration.partial, is_baseline);
        if is_baseline {
            self.set_baseline();
        }
        self.last = Some(iteration.clone());
        self.timeline.push(iteration);
        if let Some(moves) = self.timeline.thin() {
            self.stacks.values_mut().for_each(|account| account.series.follow(&moves));
        }
    }

    fn open(&self, record: EpochRecord) -> Iteration {
        Iteration {
            index: self.pushed,
            merged: 1,
            // Warm-up ends with a mark; the end of the trace is none.
            warmup: self.pushed as usize <= self.plan.warmup && record.trigger != MarkTrigger::End,
            trigger: record.trigger,
            label: record.label,
            // Without any mark the whole trace is the one iteration.
            partial: record.partial && self.pushed > 1,
            duration_ns: record.end_ns.saturating_sub(record.start_ns),
            counts: RowCounts::default(),
            dropped: Amount::ZERO,
            live: Amount::ZERO,
            peak_bytes: record.peak_bytes,
            rss_bytes: record.rss_bytes,
            anonymous_bytes: record.memory.map(|memory| memory.anonymous_bytes),
            classes: record.classes.map(Box::new),
            mappings: record.mappings,
        }
    }

    fn book_rows(&mut self, entry: u32, rows: &[(StackKey, RowCounts)], sum: &mut RowCounts) {
        for (key, counts) in rows.iter().filter(|(_, counts)| *counts != RowCounts::default()) {
            self.stacks.entry(*key).or_default().book(self.pushed, entry, counts);
            add_counts(sum, counts);
        }
    }

    /// Everything that is live ended with its process.
    fn end_process(&mut self, entry: u32) -> Amount {
        let index = self.pushed;
        self.several_processes |= index > 1;
        self.oldest_space = Space(0);
        self.live = Amount::ZERO;
        self.stacks.values_mut().map(|account| account.drop_live(index, entry)).sum()
    }

    /// Clears the stacks of replaced images; also of rows that came late for one.
    fn drop_replaced(&mut self, entry: u32, exec: Option<Space>) -> Amount {
        self.oldest_space = exec.unwrap_or(self.oldest_space).max(self.oldest_space);
        let (index, oldest) = (self.pushed, self.oldest_space);
        self.stacks
            .iter_mut()
            .take_while(|(key, _)| key.space < oldest)
            .map(|(_, account)| account.drop_live(index, entry))
            .sum()
    }

    fn set_baseline(&mut self) {
        self.baseline.live = self.live;
        self.baseline.rss = self.mark_rss;
        self.baseline.reached = true;
        for account in self.stacks.values_mut() {
            account.baseline = account.live;
        }
    }
}
