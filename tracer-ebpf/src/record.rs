//! What a call's result means for the books: commit, restore, or lose and count.

use aya_ebpf::{helpers::bpf_probe_read_user, programs::ProbeContext};
use tracer_common::{CallKind, Domain, LiveBlock, LiveKey, StackId, TallyKind, ThreadState};

use crate::{
    calls::{self, Returned},
    control,
    epochs::{self, Now},
    live, mappings, rows,
    stack::{self, Source},
    tally,
};

/// The outermost allocation call of `thread` returned.
#[inline(always)]
pub fn returned(call: &Returned, thread: *mut ThreadState, source: Source) {
    let Some(now) = epochs::now() else { return };
    let result = call.result;
    // SAFETY: the entry belongs to this thread alone.
    let (kind, size, argument) = unsafe { ((*thread).kind, (*thread).size, (*thread).argument) };
    let block = if kind == CallKind::StoreThrough as u32 {
        // The result is an `int`: 0, or an error code and nothing stored.
        if result as u32 != 0 {
            0
        } else if let Ok(block) =
            // SAFETY: reads the target's memory through the helper, which checks the address.
            unsafe { bpf_probe_read_user(argument as *const u64) }
        {
            block
        } else {
            tally::count(TallyKind::AllocReadFault);
            mappings::settle(thread, now, StackId::UNKNOWN);
            return;
        }
    } else {
        result
    };
    if kind == CallKind::Reallocate as u32 {
        // Python's `realloc` frees nothing for a size of 0.
        // SAFETY: the entry belongs to this thread alone.
        let never_frees = unsafe { (*thread).domain } == Domain::Python as u16;
        if block == 0 && (size != 0 || never_frees) {
            restore(thread, now); // it failed: the old block is as it was
        } else {
            release_old(thread, now);
        }
    }
    if block == 0 {
        tally::count(TallyKind::AllocFailed);
        mappings::settle(thread, now, StackId::UNKNOWN);
    } else {
        allocated(call, thread, now, block, size, source);
    }
}

/// An `operator new` for `size` bytes returned. Counted only now: one that threw never comes here, and one
/// that got its block from `malloc` is that call's.
#[inline(always)]
pub fn operator_returned(call: &Returned, thread: *mut ThreadState, size: u64, source: Source) {
    let Some(now) = epochs::now() else { return };
    // SAFETY: the entry belongs to this thread alone.
    if call.result != 0 && call.result == unsafe { (*thread).last_block } {
        return;
    }
    tally::count(TallyKind::AllocCalls);
    if call.result == 0 {
        tally::count(TallyKind::AllocFailed);
    } else {
        allocated(call, thread, now, call.result, size, source);
    }
}

/// A block's owner gave it back. `last` is what the thread freed before, if it was not given a block since.
#[inline(always)]
pub fn freed(ctx: &ProbeContext, address: u64, last: u64) {
    let Some(now) = epochs::now() else { return };
    if let Some(block) = live::take(LiveKey::new(now.space, address)) {
        tally::count(TallyKind::FreeCalls);
        settle(now, &block);
        return;
    }
    if address == last {
        tally::count(TallyKind::FreeInternal);
        return;
    }
    // SAFETY: reads the target's memory through the helper, which checks the address.
    let caller = unsafe { bpf_probe_read_user(calls::entry_sp(ctx) as *const u64) };
    if caller.is_ok_and(control::is_allocator_code) {
        tally::count(TallyKind::FreeInternal);
    } else {
        tally::count(TallyKind::FreeCalls);
        tally::count(TallyKind::FreeUnknown);
    }
}

/// The call in flight will never return. A reallocation's old block is put back: what became of it is not
/// known, and a block that is shown too long is found, one that vanished is not.
#[inline(always)]
pub fn abandon(thread: &mut ThreadState) {
    thread.sp = 0;
    thread.domain = Domain::Heap as u16;
    if let Some(now) = epochs::now() {
        restore(thread, now);
        mappings::settle(thread, now, StackId::UNKNOWN);
    }
}

#[inline(always)]
fn allocated(
    call: &Returned,
    thread: *mut ThreadState,
    now: Now,
    address: u64,
    size: u64,
    source: Source,
) {
    // SAFETY: the entry belongs to this thread alone.
    unsafe { (*thread).last_block = address };
    let skipped = control::paused();
    let wanted = !skipped && control::wants(size);
    if !wanted {
        tally::count(if skipped { TallyKind::AllocSkipped } else { TallyKind::AllocFiltered });
        if !mappings::owes_stack(thread) {
            return;
        }
    }
    let mut id = stack::capture(call, now, thread, source);
    if mappings::owes_stack(thread) {
        stack::send(thread, id, now.space, source);
        mappings::settle(thread, now, id);
    }
    if !wanted {
        return;
    }
    let row = if let Some(row) = rows::of_new_block(now, id, thread, source) {
        row
    } else {
        tally::count(TallyKind::StackFull);
        id = StackId::UNKNOWN;
        let Some(row) = now.unknown_row() else { return };
        row
    };
    let block = LiveBlock { size, stack: id, born: now.epoch, _pad: 0 };
    let inserted = live::insert(LiveKey::new(now.space, address), &block);
    if let Some(old) = inserted.replaced {
        tally::count(TallyKind::FreeMissed);
        settle(now, &old);
    }
    if !inserted.done {
        // Not added to any total: its free could not be subtracted.
        tally::count(TallyKind::AllocLiveFull);
        return;
    }
    rows::allocated(row, size);
    now.live_changed(size as i64);
}

/// Puts a reallocation's old block back into the live set.
#[inline(always)]
fn restore(thread: *mut ThreadState, now: Now) {
    // SAFETY: the entry belongs to this thread alone.
    let (has_old, old, address) = unsafe { ((*thread).has_old, (*thread).old, (*thread).argument) };
    if has_old == 0 {
        return;
    }
    // SAFETY: as above.
    unsafe { (*thread).has_old = 0 };
    if !live::put_back(LiveKey::new(now.space, address), &old) {
        tally::count(TallyKind::FreeMissed);
        settle(now, &old);
    }
}

/// A reallocation let its old block go.
#[inline(always)]
fn release_old(thread: *mut ThreadState, now: Now) {
    tally::count(TallyKind::FreeCalls);
    // SAFETY: the entry belongs to this thread alone.
    let (has_old, old) = unsafe { ((*thread).has_old, (*thread).old) };
    if has_old == 0 {
        tally::count(TallyKind::FreeUnknown);
        return;
    }
    // SAFETY: as above.
    unsafe { (*thread).has_old = 0 };
    settle(now, &old);
}

#[inline(always)]
fn settle(now: Now, block: &LiveBlock) {
    rows::freed(now, block);
    now.live_changed(-(block.size as i64));
}
