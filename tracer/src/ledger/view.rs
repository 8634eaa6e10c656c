//! One stack, as the rest of the program sees it.

use tracer_common::RowCounts;

use super::{Amount, Ledger, Series, StackKey, account::Account};

/// A stack's books, read together with what the ledger knows of the last mark.
#[derive(Clone, Copy, Debug)]
pub struct StackView<'a> {
    pub(super) key: StackKey,
    pub(super) account: &'a Account,
    pub(super) ledger: &'a Ledger,
}

impl<'a> StackView<'a> {
    /// Which stack.
    pub fn key(&self) -> StackKey {
        self.key
    }

    /// Allocated and freed since the start of the trace.
    pub fn counts(&self) -> RowCounts {
        self.account.counts
    }

    /// Gone with a replaced image; not part of the recorded frees.
    pub fn dropped(&self) -> Amount {
        self.account.dropped
    }

    /// Live at the end of the last iteration. Below nothing only for the unknown stack.
    pub fn live(&self) -> Amount {
        self.account.live
    }

    /// Live at the baseline: the end of warm-up, else the start of the trace.
    pub fn baseline(&self) -> Amount {
        self.account.baseline
    }

    /// Live at the last mark; without marks, at the end.
    pub fn at_last_mark(&self) -> Amount {
        if self.ledger.ends_partial() { self.before_last() } else { self.account.live }
    }

    /// From the baseline to the last mark.
    pub fn growth(&self) -> Amount {
        self.at_last_mark() - self.account.baseline
    }

    /// Within the last iteration, partial or not.
    pub fn change(&self) -> Amount {
        self.account.live - self.before_last()
    }

    /// What it did in each iteration.
    pub fn series(&self) -> &'a Series {
        &self.account.series
    }

    fn before_last(&self) -> Amount {
        self.account.live_before(self.ledger.pushed())
    }
}
