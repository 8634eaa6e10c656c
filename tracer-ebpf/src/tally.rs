//! Counting what was seen and what was lost. One set of counters per CPU, so that threads don't contend;
//! the additions are atomic all the same, because a program can be preempted in the middle of one.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tracer_common::{Tally, TallyKind};

use crate::atomic;

#[map]
static TALLY: PerCpuArray<Tally> = PerCpuArray::with_max_entries(1, 0);

/// Counts one.
#[inline(always)]
pub fn count(kind: TallyKind) {
    add(kind, 1);
}

/// Counts several.
#[inline(always)]
pub fn add(kind: TallyKind, number: u64) {
    if let Some(tally) = TALLY.get_ptr_mut(0) {
        // SAFETY: the kind's discriminant is below `Tally::LEN`, the array's length.
        atomic::add(unsafe { (&raw mut (*tally).counts).cast::<u64>().add(kind as usize) }, number);
    }
}
