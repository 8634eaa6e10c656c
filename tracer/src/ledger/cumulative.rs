//! The ledger itself.

use std::collections::BTreeMap;

use tracer_common::Space;

use super::{
    Amount, ClassGrowth, ClassSample, Iteration, KEPT_ITERATIONS, MemoryParts, Plan, StackKey,
    StackView, Totals, account::Account, classes::ClassBooks, memory::MemoryBooks,
    timeline::Timeline,
};

/// The cumulative truth per stack, over all iterations so far.
///
/// Growth runs from the baseline to the last mark; what followed the last mark is in the live figures
/// only. The baseline is the start of the trace until warm-up has ended.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(super) plan: Plan,
    pub(super) stacks: BTreeMap<StackKey, Account>,
    pub(super) timeline: Timeline,
    /// Iterations pushed; the last one's number.
    pub(super) pushed: u32,
    pub(super) last: Option<Iteration>,
    pub(super) live: Amount,
    pub(super) baseline: Baseline,
    /// RSS at the last mark.
    pub(super) mark_rss: Option<u64>,
    pub(super) memory: MemoryBooks,
    pub(super) classes: ClassBooks,
    /// Whether more than one process was recorded, one after the other.
    pub(super) several_processes: bool,
    /// Blocks of address spaces before this one are gone.
    pub(super) oldest_space: Space,
}

/// Where growth counts from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Baseline {
    pub(super) live: Amount,
    pub(super) rss: Option<u64>,
    /// Whether warm-up has ended; until then the baseline is the start of the trace.
    pub(super) reached: bool,
}

/// RSS at both ends of the measured time, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RssChange {
    /// At the baseline.
    pub baseline_bytes: u64,
    /// At the last mark; without marks, at the end.
    pub last_bytes: u64,
}

impl Ledger {
    /// Empty books.
    pub fn new(plan: Plan) -> Self {
        Self::keeping(&plan, KEPT_ITERATIONS)
    }

    pub(super) fn keeping(plan: &Plan, limit: usize) -> Self {
        Self {
            plan: *plan,
            stacks: BTreeMap::new(),
            timeline: Timeline::new(limit),
            pushed: 0,
            last: None,
            live: Amount::ZERO,
            baseline: Baseline {
                live: Amount::ZERO,
                rss: plan.rss_at_start,
                reached: plan.warmup == 0,
            },
            mark_rss: None,
            memory: MemoryBooks::starting(plan.memory_at_start),
            classes: ClassBooks::starting(plan.classes_at_start.as_ref()),
            several_processes: false,
            oldest_space: Space(0),
        }
    }

    /// The iterations, oldest first. Beyond [`KEPT_ITERATIONS`] neighbours are merged.
    pub fn iterations(&self) -> &[Iteration] {
        self.timeline.entries()
    }

    /// The last iteration by itself, also where the list has merged it with its neighbours.
    pub fn last(&self) -> Option<&Iteration> {
        self.last.as_ref()
    }

    /// How many iterations growth and verdicts rest on.
    pub fn measured(&self) -> u64 {
        self.iterations().iter().filter(|i| i.measured()).map(|i| u64::from(i.merged)).sum()
    }

    /// Whether warm-up was asked for and has not ended, so that growth counts from the start of the trace.
    pub fn in_warmup(&self) -> bool {
        !self.baseline.reached
    }

    /// Every stack with something recorded, in order of its key.
    pub fn stacks(&self) -> impl Iterator<Item = StackView<'_>> {
        self.stacks.iter().map(|(&key, account)| StackView { key, account, ledger: self })
    }

    /// One stack.
    pub fn stack(&self, key: StackKey) -> Option<StackView<'_>> {
        self.stacks.get(&key).map(|account| StackView { key, account, ledger: self })
    }

    /// Whether iterations are processes of their own, one after the other: then what lives at the end was all born
    /// in the last one, and says nothing of those before.
    pub fn has_several_processes(&self) -> bool {
        self.several_processes
    }

    /// Live at the end of the last iteration, over all stacks.
    pub fn live(&self) -> Amount {
        self.live
    }

    /// Live at the baseline, over all stacks.
    pub fn baseline(&self) -> Amount {
        self.baseline.live
    }

    /// Growth from the baseline to the last mark.
    pub fn totals(&self) -> Totals {
        self.stacks().map(|stack| stack.growth()).collect()
    }

    /// Growth within the last iteration.
    pub fn last_totals(&self) -> Totals {
        self.stacks().map(|stack| stack.change()).collect()
    }

    /// RSS over the measured time; `None` where either end is not known.
    pub fn rss(&self) -> Option<RssChange> {
        Some(RssChange { baseline_bytes: self.baseline.rss?, last_bytes: self.mark_rss? })
    }

    /// What the growth of resident memory is made of; `None` where it was not read at two marks.
    pub fn memory(&self) -> Option<MemoryParts> {
        self.memory.parts()
    }

    /// Growth of Python's objects by size class; `None` where they were not read at two marks.
    pub fn class_growth(&self) -> Option<ClassGrowth> {
        self.classes.growth()
    }

    /// Python's objects by size class when they were read last.
    pub fn classes(&self) -> Option<&ClassSample> {
        self.classes.newest()
    }

    /// Highest live bytes from the baseline to the end.
    pub fn peak_bytes(&self) -> u64 {
        let after = self.iterations().iter().filter(|i| !i.warmup).map(|i| i.peak_bytes).max();
        after.or_else(|| self.iterations().iter().map(|i| i.peak_bytes).max()).unwrap_or(0)
    }

    /// The number of the last iteration, 0 before the first.
    pub(super) fn pushed(&self) -> u32 {
        self.pushed
    }

    /// Whether the last entry is what followed the last mark.
    pub(super) fn ends_partial(&self) -> bool {
        self.iterations().last().is_some_and(|last| last.partial)
    }
}
