//! From mark to mark, all stacks together.

use tracer_common::RowCounts;

use super::{Amount, ClassSample, MarkTrigger, mappings::MappingTotals};

/// One iteration; or, in a very long run, neighbours merged into one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iteration {
    /// Its number, from 1; the first one's where several are merged.
    pub index: u32,
    /// How many iterations this entry stands for.
    pub merged: u32,
    /// Whether it only formed the baseline.
    pub warmup: bool,
    /// What made the mark at its end.
    pub trigger: MarkTrigger,
    /// The name that the mark's maker gave it.
    pub label: Option<String>,
    /// Whether it is what followed the last mark. Growth and verdicts leave it out.
    pub partial: bool,
    /// How long it took, in ns.
    pub duration_ns: u64,
    /// What was allocated and freed in it.
    pub counts: RowCounts,
    /// What went with an image that was replaced in it. Not part of the recorded frees.
    pub dropped: Amount,
    /// Live memory at its end.
    pub live: Amount,
    /// Highest live bytes in it; never below those at its start or its end.
    pub peak_bytes: u64,
    /// The target's RSS at its end, in bytes; 0 where it could not be read.
    pub rss_bytes: u64,
    /// What of it is of no file, in bytes, where that was read.
    pub anonymous_bytes: Option<u64>,
    /// Python's objects by size class at its end, where they were read: in none of the figures above.
    pub classes: Option<Box<ClassSample>>,
    /// What was mapped and unmapped in it: the second domain, in none of the figures above.
    pub mappings: MappingTotals,
}

impl Iteration {
    /// Whether growth and verdicts count it.
    pub fn measured(&self) -> bool {
        !self.warmup && !self.partial
    }

    /// How much the live memory changed in it.
    pub fn net(&self) -> Amount {
        Amount::net(&self.counts) - self.dropped
    }

    /// Whether `next` may be merged into this one: never across the end of warm-up or the last mark.
    pub(super) fn takes(&self, next: &Self, most: u32) -> bool {
        self.warmup == next.warmup
            && !self.partial
            && !next.partial
            && self.merged.saturating_add(next.merged) <= most
    }

    /// Makes one entry of this and the one that follows it.
    pub(super) fn absorb(&mut self, next: Self) {
        self.merged += next.merged;
        self.trigger = next.trigger;
        self.label = next.label;
        self.duration_ns = self.duration_ns.saturating_add(next.duration_ns);
        add_counts(&mut self.counts, &next.counts);
        self.dropped += next.dropped;
        self.live = next.live;
        self.peak_bytes = self.peak_bytes.max(next.peak_bytes);
        self.rss_bytes = next.rss_bytes;
        self.anonymous_bytes = next.anonymous_bytes;
        self.classes = next.classes;
        self.mappings.absorb(next.mappings);
    }
}

/// Adds up two rows.
pub(super) fn add_counts(sum: &mut RowCounts, row: &RowCounts) {
    sum.alloc_bytes = sum.alloc_bytes.saturating_add(row.alloc_bytes);
    sum.alloc_blocks = sum.alloc_blocks.saturating_add(row.alloc_blocks);
    sum.free_bytes = sum.free_bytes.saturating_add(row.free_bytes);
    sum.free_blocks = sum.free_blocks.saturating_add(row.free_blocks);
    sum.carried_bytes = sum.carried_bytes.saturating_add(row.carried_bytes);
    sum.carried_blocks = sum.carried_blocks.saturating_add(row.carried_blocks);
}
