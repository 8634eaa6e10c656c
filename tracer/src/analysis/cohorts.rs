//! Who lives at the end, by the iteration of birth. Used by `verdict` where the series alone can't tell: what a
//! leak keeps is there from every iteration, what is merely in use at a mark is young.

use super::Step;
use crate::ledger::Iteration;

/// The blocks of one stack that were born in one iteration and live at the end of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cohort {
    /// The number of the iteration, as in [`Iteration::index`].
    pub born: u32,
    /// Blocks.
    pub blocks: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Fewer old iterations than this say nothing of themselves: sessions that last a few iterations look the same.
const FEWEST_OLD: usize = 5;

/// What the cohorts of a stack say.
///
/// The first iteration is left out, because it fills what is empty at the beginning; those of the last third are too
/// young to say anything of their fate. The ones between are the old ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Survival {
    /// Iterations with survivors, without the first.
    kept: usize,
    /// Iterations without the first.
    all: usize,
    /// The old iterations, oldest first.
    old: Vec<Fate>,
}

/// What was allocated in an iteration, and what of it lives at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fate {
    allocated: u64,
    blocks: u64,
    bytes: u64,
}

impl Survival {
    /// `cohorts` are sorted by birth.
    pub(super) fn new(iterations: &[Iteration], steps: &[Step], cohorts: &[Cohort]) -> Self {
        let all = iterations.len();
        let mut survival = Self {
            kept: 0,
            all: all.saturating_sub(1),
            old: vec![Fate::default(); all.saturating_sub(all.div_ceil(3) + 1)],
        };
        for step in steps {
            if let Some(fate) = survival.old_at(step.at) {
                fate.allocated = step.alloc_blocks;
            }
        }
        for cohort in cohorts.iter().filter(|cohort| cohort.blocks > 0) {
            let found = iterations.binary_search_by_key(&cohort.born, |i| i.index);
            let Some(at) = found.ok().filter(|at| *at > 0) else { continue };
            survival.kept += 1;
            if let Some(fate) = survival.old_at(at) {
                (fate.blocks, fate.bytes) = (cohort.blocks, cohort.bytes);
            }
        }
        survival
    }

    fn old_at(&mut self, at: usize) -> Option<&mut Fate> {
        at.checked_sub(1).and_then(|at| self.old.get_mut(at))
    }

    /// Whether what lives is young: of the old iterations that allocated at most one, or a fifth, has survivors, or what
    /// has survived of the middle third is less than half of the `rise` of the level in it, or the older of the old
    /// have kept less than a third as much of what they allocated as the younger.
    pub(super) fn lets_go(&self, rise: f64) -> bool {
        let allocating = self.old.iter().filter(|fate| fate.allocated > 0).count();
        let kept = self.old.iter().filter(|fate| fate.blocks > 0).count();
        let (older, younger) = self.halves();
        allocating > 0
            && ((kept <= 1 && kept < allocating)
                || kept * 5 <= allocating
                || self.middle() as f64 * 2.0 < rise
                || older.iter().any(|fate| fate.allocated > 0)
                    && rate(sum(older)) * 3.0 < rate(sum(younger)))
    }

    /// Whether nearly every iteration has survivors, and the older ones no fewer for being older.
    pub(super) fn keeps_all(&self) -> bool {
        let (older, younger) = self.halves();
        let kept = self.old.iter().filter(|fate| fate.blocks > 0).count();
        self.old.len() >= FEWEST_OLD
            && self.kept * 10 >= self.all * 8
            && kept * 10 >= self.old.len() * 8
            && sum(older).bytes.saturating_mul(2) >= sum(younger).bytes
    }

    /// How many of the old iterations are in the middle third.
    pub(super) fn middle_marks(&self) -> usize {
        self.old.len() - self.old.len() / 2
    }

    /// Bytes kept of the younger half of the old iterations, which is the middle third of all.
    pub(super) fn middle(&self) -> u64 {
        sum(&self.old[self.old.len() / 2..]).bytes
    }

    /// The median of bytes kept of an old iteration.
    pub(super) fn per_iteration(&self) -> f64 {
        let mut kept: Vec<_> = self.old.iter().map(|fate| fate.bytes).collect();
        kept.sort_unstable();
        kept.get(kept.len() / 2).map_or(0.0, |bytes| *bytes as f64)
    }

    /// Equally many of the oldest and of the youngest.
    fn halves(&self) -> (&[Fate], &[Fate]) {
        let half = self.old.len() / 2;
        (&self.old[..half], &self.old[self.old.len() - half..])
    }
}

fn sum(fates: &[Fate]) -> Fate {
    fates.iter().fold(Fate::default(), |sum, fate| Fate {
        allocated: sum.allocated.saturating_add(fate.allocated),
        blocks: sum.blocks.saturating_add(fate.blocks),
        bytes: sum.bytes.saturating_add(fate.bytes),
    })
}

/// Survivors of an allocated block.
fn rate(fate: Fate) -> f64 {
    if fate.allocated == 0 { 0.0 } else { fate.blocks as f64 / fate.allocated as f64 }
}
