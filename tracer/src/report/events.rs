//! Did the trace see everything? The counts of events, and the rule by which they close.

use std::collections::BTreeMap;

/// What became of the events of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Calls seen.
    pub seen: u64,
    /// Blocks recorded, on a known stack or on the unknown one.
    pub recorded: u64,
    /// Calls that returned null or an error: nothing was allocated.
    pub failed: u64,
    /// Left out as asked, by size.
    pub filtered: u64,
    /// Left out because recording was disabled.
    pub skipped: u64,
    /// Calls that had not returned when the trace ended.
    pub pending: u64,
    /// Lost, by reason: `live_full`, `inflight_full`, `missed_return`, `read_fault`, `unknown_free` …
    pub lost: BTreeMap<&'static str, u64>,
}

impl Side {
    /// Lost for any reason.
    pub fn lost(&self) -> u64 {
        self.lost.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Seen, minus everything that an event can become: 0 if this side closes, above 0 if events
    /// vanished, below if some were counted twice.
    pub fn unaccounted(&self) -> i128 {
        i128::from(self.seen)
            - i128::from(self.recorded)
            - self.set_aside()
            - i128::from(self.lost())
    }

    /// Events that were rightly not recorded.
    pub(super) fn set_aside(&self) -> i128 {
        [self.failed, self.filtered, self.skipped, self.pending].map(i128::from).iter().sum()
    }
}

/// The reason of frees whose block the trace did not see being born.
pub(super) const UNKNOWN_FREE: &str = "unknown_free";

/// The kernel side's counters, summed up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventLedger {
    /// Outermost calls of allocation functions.
    pub allocs: Side,
    /// Frees of blocks. A block let go by `realloc` is one too.
    pub frees: Side,
    /// Recorded, but on the unknown stack, by reason: `stack_full`
    pub unattributed: BTreeMap<&'static str, u64>,
    /// Marks that did not start an iteration of their own.
    pub marks_merged: u64,
    /// How often the probes stopped firing, and nothing was seen until they were set again.
    pub interruptions: u64,
    /// Whether blocks may exist that the trace did not see being born, because it attached to a running process. Then
    /// frees of unknown blocks are expected.
    pub blocks_from_before: bool,
}

impl EventLedger {
    /// Whether on both sides seen = recorded + failed + filtered + skipped + pending + everything lost.
    pub fn closes(&self) -> bool {
        self.allocs.unaccounted() == 0 && self.frees.unaccounted() == 0
    }

    /// Whether everything that happened is in the report, on its own stack and in its own iteration.
    pub fn complete(&self) -> bool {
        self.closes()
            && self.allocs.lost() == 0
            && self.frees.lost() == self.expected_unknown_frees()
            && self.unattributed.values().all(|count| *count == 0)
            && self.marks_merged == 0
            && self.interruptions == 0
    }

    /// Frees of unknown blocks that are no loss: those of blocks from before, or that were left out.
    pub(super) fn expected_unknown_frees(&self) -> u64 {
        if self.blocks_from_before || self.allocs.filtered > 0 || self.allocs.skipped > 0 {
            self.frees.lost.get(UNKNOWN_FREE).copied().unwrap_or(0)
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{EventLedger, Side};

    fn ledger() -> EventLedger {
        EventLedger {
            allocs: Side { seen: 100, recorded: 97, failed: 1, pending: 2, ..Side::default() },
            frees: Side { seen: 50, recorded: 50, ..Side::default() },
            ..EventLedger::default()
        }
    }

    #[test]
    fn it_closes_when_every_event_became_something() {
        assert!(ledger().closes() && ledger().complete());
        let mut lost = ledger();
        lost.allocs.recorded -= 7;
        assert_eq!(lost.allocs.unaccounted(), 7);
        assert!(!lost.closes() && !lost.complete());
        lost.allocs.lost = BTreeMap::from([("live_full", 4), ("missed_return", 3)]);
        assert!(lost.closes() && !lost.complete());
        lost.frees.recorded += 1;
        assert_eq!(lost.frees.unaccounted(), -1);
    }

    #[test]
    fn unknown_frees_are_expected_only_of_blocks_that_nobody_saw_born() {
        let mut attached = ledger();
        attached.frees.seen += 5;
        attached.frees.lost.insert("unknown_free", 5);
        assert!(attached.closes() && !attached.complete());
        assert!(EventLedger { blocks_from_before: true, ..attached.clone() }.complete());
        attached.allocs.seen += 1;
        attached.allocs.filtered = 1;
        assert!(attached.complete());
        let skipping = Side { filtered: 0, skipped: 1, ..attached.allocs.clone() };
        assert!(EventLedger { allocs: skipping, ..attached.clone() }.complete());
        attached.frees.seen += 1;
        attached.frees.lost.insert("missed_free", 1);
        assert!(attached.closes() && !attached.complete());
    }

    #[test]
    fn a_lost_stack_or_mark_is_incomplete_too() {
        let stackless = BTreeMap::from([("stack_full", 1)]);
        assert!(!EventLedger { unattributed: stackless, ..ledger() }.complete());
        assert!(!EventLedger { marks_merged: 1, ..ledger() }.complete());
        assert!(!EventLedger { interruptions: 1, ..ledger() }.complete());
    }
}
