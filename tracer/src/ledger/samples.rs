//! Short-hand for tests.

use tracer_common::{RowCounts, Space, StackId};

use super::{EpochRecord, MarkTrigger, StackKey, mappings::MappingTotals};

/// Stack `id` of the first address space.
pub(crate) fn key(id: u64) -> StackKey {
    StackKey { space: Space(0), stack: StackId(id) }
}

/// Allocated and freed: (bytes, blocks) each.
pub(crate) fn counts(alloc: (u64, u64), free: (u64, u64)) -> RowCounts {
    RowCounts {
        alloc_bytes: alloc.0,
        alloc_blocks: alloc.1,
        free_bytes: free.0,
        free_blocks: free.1,
        ..RowCounts::default()
    }
}

/// An epoch of one second that ended with a mark of the clock.
pub(crate) fn epoch(rows: Vec<(StackKey, RowCounts)>) -> EpochRecord {
    EpochRecord {
        trigger: MarkTrigger::Interval,
        label: None,
        partial: false,
        start_ns: 0,
        end_ns: 1_000_000_000,
        peak_bytes: 0,
        rss_bytes: 0,
        memory: None,
        classes: None,
        mappings: MappingTotals::default(),
        rows,
        new_process: false,
        exec: None,
    }
}

/// What follows the last mark.
pub(crate) fn ending(rows: Vec<(StackKey, RowCounts)>) -> EpochRecord {
    EpochRecord { trigger: MarkTrigger::End, partial: true, ..epoch(rows) }
}
