//! Counters per (stack, epoch).

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    macros::map,
    maps::HashMap,
};
use tracer_common::{
    LiveBlock, Row, RowCounts, RowKey, StackId, TallyKind, ThreadState, limits::DEFAULT_MAX_STACKS,
};

use crate::{
    atomic,
    epochs::Now,
    process,
    stack::{self, Source},
    tally,
};

#[map]
static ROWS: HashMap<RowKey, Row> =
    HashMap::with_max_entries(2 * DEFAULT_MAX_STACKS, BPF_F_NO_PREALLOC);

/// The row of a stack that `thread` has just captured; sends the stack where user space lacks it.
#[inline(always)]
pub fn of_new_block(
    now: Now,
    id: StackId,
    thread: *mut ThreadState,
    source: Source,
) -> Option<*mut RowCounts> {
    let key = RowKey { stack: id, epoch: now.epoch, space: now.space };
    let row = match ROWS.get_ptr_mut(key) {
        Some(row) => row,
        None => make(key)?,
    };
    // SAFETY: `row` points to a map value; the flag only ever goes from 0 to 1.
    unsafe {
        if (*row).stack_sent == 0 && stack::send(thread, id, now.space, source) {
            (*row).stack_sent = 1;
        }
        Some(&raw mut (*row).counts)
    }
}

/// Counts a block of `size` bytes as allocated.
#[inline(always)]
pub fn allocated(row: *mut RowCounts, size: u64) {
    // SAFETY: `row` is part of a map value.
    unsafe {
        atomic::add(&raw mut (*row).alloc_bytes, size);
        atomic::add(&raw mut (*row).alloc_blocks, 1);
    }
}

/// Counts a block as freed: on the stack that allocated it, in the present epoch.
#[inline(always)]
pub fn freed(now: Now, block: &LiveBlock) {
    let Some(row) = of_old_block(now, block.stack) else { return };
    // SAFETY: `row` is part of a map value.
    unsafe {
        atomic::add(&raw mut (*row).free_bytes, block.size);
        atomic::add(&raw mut (*row).free_blocks, 1);
        if block.born.0 != now.epoch.0 {
            atomic::add(&raw mut (*row).carried_bytes, block.size);
            atomic::add(&raw mut (*row).carried_blocks, 1);
        }
    }
}

#[inline(always)]
fn of_old_block(now: Now, stack: StackId) -> Option<*mut RowCounts> {
    if stack == StackId::UNKNOWN {
        return now.unknown_row();
    }
    let key = RowKey { stack, epoch: now.epoch, space: now.space };
    if let Some(row) = ROWS.get_ptr_mut(key).or_else(|| make(key)) {
        // SAFETY: `row` points to a map value.
        return Some(unsafe { &raw mut (*row).counts });
    }
    tally::count(TallyKind::StackFull);
    now.unknown_row()
}

#[inline(always)]
fn make(key: RowKey) -> Option<*mut Row> {
    let empty = Row {
        counts: RowCounts {
            alloc_bytes: 0,
            alloc_blocks: 0,
            free_bytes: 0,
            free_blocks: 0,
            carried_bytes: 0,
            carried_blocks: 0,
        },
        stack_sent: 0,
    };
    // Another thread may have been faster; then the lookup finds its row.
    if ROWS.insert(key, empty, u64::from(BPF_NOEXIST)).is_ok() {
        process::count_row();
    }
    ROWS.get_ptr_mut(key)
}
