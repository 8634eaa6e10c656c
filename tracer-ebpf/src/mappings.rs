//! The second domain: `mmap` and its kin, from a call's entry to its return.
//!
//! Each change goes to user space by itself, which keeps the books: these calls are rare beside `malloc`.
//! A range is reported gone at the call's entry, before the kernel could hand it out again, and new at the
//! return. Allocators make these calls in the middle of a heap call, where no frame pointer leads to the
//! program: such a change has no stack of its own, it gets that of the heap call when that one returns.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    programs::{ProbeContext, RetProbeContext},
};
use tracer_common::{MapCallKind, MapOp, StackId, TallyKind, ThreadState};

use crate::{
    calls::{self, Returned},
    control,
    epochs::{self, Now},
    in_flight,
    map_events::{Change, send},
    stack::{self, Source},
    tally,
};

const PAGE_MASK: u64 = 4095;
/// User addresses lie below, with five-level paging too.
const ADDRESS_END: u64 = 1 << 56;
/// `mremap`'s flag for leaving the old range mapped, empty.
const MREMAP_DONTUNMAP: u64 = 4;
/// Results from here up are errors.
const FIRST_ERROR: u64 = 0u64.wrapping_sub(4095);

/// `mmap`, `brk` or `sbrk` was entered. `len` is the one argument that matters.
#[inline(always)]
pub fn enter(ctx: &ProbeContext, kind: MapCallKind, len: u64) {
    begin(ctx, kind, len, 0, 0);
}

/// `mremap` was entered.
#[inline(always)]
pub fn enter_remap(ctx: &ProbeContext, old_addr: u64, old_len: u64, len: u64, flags: u64) {
    // A length of 0 asks for a second view of a shared mapping.
    let stays = old_len == 0 || flags & MREMAP_DONTUNMAP != 0;
    let kind = if stays { MapCallKind::Map } else { MapCallKind::Remap };
    if let Some(now) = begin(ctx, kind, len, old_addr, old_len)
        && !stays
    {
        send(now, &Change { old_addr, old_len, ..Change::new(MapOp::RemapStart) });
    }
}

/// `munmap` was entered. What the kernel refuses at once is no change. That it may refuse for another
/// reason (no room for the two halves of a range; a sealed one) is not seen: that would take a return probe.
#[inline(always)]
pub fn unmap(addr: u64, len: u64) {
    let refused =
        addr & PAGE_MASK != 0 || len == 0 || len > ADDRESS_END || addr > ADDRESS_END - len;
    if refused || !control::active() {
        return;
    }
    if let Some(now) = epochs::now() {
        send(now, &Change { addr, len, ..Change::new(MapOp::Unmap) });
    }
}

/// Anything but `munmap` returned.
#[inline(always)]
pub fn leave(ctx: &RetProbeContext, source: Source) {
    if !control::active() {
        return;
    }
    let Some(thread) = in_flight::known_thread(bpf_get_current_pid_tgid()) else { return };
    let returned = Returned::after_ret(ctx);
    // SAFETY: the entry belongs to this thread alone. Not a reference: the stack below it is written through
    // the pointer.
    let call = unsafe { (*thread).map };
    if call.sp == 0 || call.sp != returned.entry_sp() {
        return;
    }
    // SAFETY: as above.
    unsafe { (*thread).map.sp = 0 };
    let Some(now) = epochs::now() else { return };
    let result = returned.result;
    let failed = result >= FIRST_ERROR;
    let mut change = Change::new(MapOp::Map);
    let grows;
    if call.kind == MapCallKind::Map as u32 {
        if failed {
            return;
        }
        (change.addr, change.len, grows) = (result, call.len, true);
    } else if call.kind == MapCallKind::Remap as u32 {
        change.op = MapOp::RemapEnd;
        (change.old_addr, change.old_len) = (call.old_addr, call.old_len);
        (change.addr, change.len) = (if failed { 0 } else { result }, call.len);
        grows = !failed && call.len > call.old_len;
    } else if call.kind == MapCallKind::Increment as u32 {
        if failed || call.len == 0 {
            return;
        }
        change.op = MapOp::Break;
        (change.addr, change.old_addr) = (result.wrapping_add(call.len), result);
        grows = call.len as i64 > 0;
    } else {
        // `brk(0)` succeeds, and changes nothing.
        if result as u32 != 0 || call.len == 0 {
            return;
        }
        change.op = MapOp::Break;
        (change.addr, grows) = (call.len, true);
    }
    attribute(&returned, thread, now, &mut change, grows, source);
    send(now, &change);
}

/// Says whose the mappings are that the thread's heap call made.
#[inline(always)]
pub fn settle(thread: *mut ThreadState, now: Now, stack: StackId) {
    // SAFETY: the entry belongs to this thread alone.
    unsafe {
        if (*thread).map.owes_stack == 0 {
            return;
        }
        (*thread).map.owes_stack = 0;
    }
    send(now, &Change { stack, ..Change::new(MapOp::Owner) });
}

/// Whether the thread's heap call mapped something.
#[inline(always)]
pub fn owes_stack(thread: *const ThreadState) -> bool {
    // SAFETY: as above.
    unsafe { (*thread).map.owes_stack != 0 }
}

/// The thread ends. A remapping that did not return leaves the old range where it was.
#[inline(always)]
pub fn abandon(thread: &mut ThreadState) {
    let call = thread.map;
    if call.sp == 0 {
        return;
    }
    thread.map.sp = 0;
    if call.kind == MapCallKind::Remap as u32
        && let Some(now) = epochs::now()
    {
        let (old_addr, old_len) = (call.old_addr, call.old_len);
        send(now, &Change { old_addr, old_len, ..Change::new(MapOp::RemapEnd) });
    }
}

/// Keeps a call in flight; `None` where it is part of another.
#[inline(always)]
fn begin(
    ctx: &ProbeContext,
    kind: MapCallKind,
    len: u64,
    old_addr: u64,
    old_len: u64,
) -> Option<Now> {
    if !control::active() {
        return None;
    }
    let sp = calls::entry_sp(ctx);
    let (Some(now), Some(thread)) = (epochs::now(), in_flight::this_thread()) else {
        tally::count(TallyKind::MapLost);
        return None;
    };
    // SAFETY: the entry belongs to this thread alone.
    let map = unsafe { &mut (*thread).map };
    if map.sp != 0 {
        // `sbrk` is the only one that calls another of its kind, `brk`.
        let within =
            map.kind == MapCallKind::Increment as u32 && kind as u32 == MapCallKind::Break as u32;
        if within && in_flight::is_nested(map.sp, sp) {
            return None;
        }
        // It never returned, or a signal handler maps while it is under way: its result will not be seen.
        tally::count(TallyKind::MapLost);
    }
    map.sp = sp;
    map.len = len;
    map.old_addr = old_addr;
    map.old_len = old_len;
    map.kind = kind as u32;
    Some(now)
}

/// Gives a change that grows something its stack, or leaves that to the heap call that it is a part of.
#[inline(always)]
fn attribute(
    call: &Returned,
    thread: *mut ThreadState,
    now: Now,
    change: &mut Change,
    grows: bool,
    source: Source,
) {
    // SAFETY: the entry belongs to this thread alone.
    let outer = unsafe { (*thread).sp };
    if outer != 0 && in_flight::is_nested(outer, call.entry_sp()) {
        change.in_heap = true;
        // SAFETY: as above.
        unsafe { (*thread).map.owes_stack = 1 };
    } else if grows {
        change.stack = stack::capture(call, now, thread, source);
        // One that finds no room is sent again with its next event.
        stack::send(thread, change.stack, now.space, source);
    }
}
