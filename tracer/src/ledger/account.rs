//! One stack's books.

use tracer_common::RowCounts;

use super::{Amount, Series, iteration::add_counts};

/// Everything that is kept of one stack.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Allocated and freed since the start of the trace.
    pub(super) counts: RowCounts,
    /// Gone with a replaced image.
    pub(super) dropped: Amount,
    /// Live at the end of the last iteration.
    pub(super) live: Amount,
    /// Live at the baseline.
    pub(super) baseline: Amount,
    /// The iteration that changed it last, and what was live before that.
    changed: u32,
    before: Amount,
    pub(super) series: Series,
}

impl Account {
    /// Books a row of iteration `index`, kept at position `entry` of the list.
    pub(super) fn book(&mut self, index: u32, entry: u32, counts: &RowCounts) {
        self.enter(index);
        add_counts(&mut self.counts, counts);
        self.live += Amount::net(counts);
        self.series.add(entry, counts);
    }

    /// Everything live went with the image. Returns how much that was.
    pub(super) fn drop_live(&mut self, index: u32, entry: u32) -> Amount {
        let live = self.live;
        if live != Amount::ZERO {
            self.enter(index);
            self.dropped += live;
            self.live = Amount::ZERO;
            self.series.drop_live(entry, live);
        }
        live
    }

    /// Live at the start of iteration `index`, which is the last one.
    pub(super) fn live_before(&self, index: u32) -> Amount {
        if self.changed == index { self.before } else { self.live }
    }

    fn enter(&mut self, index: u32) {
        if self.changed != index {
            self.changed = index;
            self.before = self.live;
        }
    }
}
