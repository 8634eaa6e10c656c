//! From a call's entry to its return: one call per thread, the outermost.
//!
//! Allocation functions call each other (`reallocarray` → `realloc` → `malloc` → `mmap`): only the
//! outermost call is the program's. In a nested call the stack pointer is lower, or equal after a tail jump
//! (`aligned_alloc` → `malloc`), and the outer call's return address still is the kernel's trampoline.
//! A call that never returned (a `longjmp` out of a signal handler) fails one of the two tests.

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user},
    macros::map,
    maps::{Array, HashMap},
    programs::{ProbeContext, RetProbeContext},
};
use tracer_common::{
    CallKind, Domain, LiveKey, StackId, TallyKind, ThreadState,
    limits::{MAX_NESTED, MAX_THREADS},
};

use crate::{
    calls::{self, Returned},
    control, epochs, live, mappings, operators, record,
    stack::Source,
    tally,
};

/// Keyed by `pid_tgid`. An entry stays until its thread ends: making one costs ten times a lookup.
#[map]
static THREADS: HashMap<u64, ThreadState> =
    HashMap::with_max_entries(MAX_THREADS, BPF_F_NO_PREALLOC);

/// What a new entry starts as; too big for a program's stack.
#[map]
static BLANK_THREAD: Array<ThreadState> = Array::with_max_entries(1, 0);

/// An allocation function of the heap was entered.
#[inline(always)]
pub fn enter(ctx: &ProbeContext, kind: CallKind, size: u64, argument: u64) {
    enter_in(ctx, Domain::Heap, kind, size, argument);
}

/// An allocation function was entered, for a block of this domain.
#[inline(always)]
pub fn enter_in(ctx: &ProbeContext, domain: Domain, kind: CallKind, size: u64, argument: u64) {
    if !control::active() {
        return;
    }
    let sp = calls::entry_sp(ctx);
    let Some(thread) = this_thread() else {
        tally::count(TallyKind::AllocCalls);
        tally::count(TallyKind::AllocInflightFull);
        return;
    };
    // SAFETY: the entry belongs to this thread alone, and is removed by nobody else.
    let thread = unsafe { &mut *thread };
    if thread.sp != 0 {
        if thread.nested_allocs < MAX_NESTED && is_nested(thread.sp, sp) {
            thread.nested_allocs += 1;
            return;
        }
        missed_return(thread);
    }
    tally::count(TallyKind::AllocCalls);
    operators::drop_up_to(thread, sp);
    thread.sp = sp;
    thread.size = size;
    thread.argument = argument;
    thread.kind = kind as u32;
    thread.domain = domain as u16;
    thread.has_old = 0;
    thread.nested_allocs = 0;
    thread.nested_frees = 0;
    thread.last_freed = 0;
    if kind as u32 == CallKind::Reallocate as u32
        && let Some(now) = epochs::now()
        && let Some(old) = live::take(LiveKey::new(now.space, argument))
    {
        thread.old = old;
        thread.has_old = 1;
    }
}

/// An allocation function returned.
#[inline(always)]
pub fn leave(ctx: &RetProbeContext, source: Source) {
    if !control::active() {
        return;
    }
    let Some(thread) = THREADS.get_ptr_mut(bpf_get_current_pid_tgid()) else { return };
    let call = Returned::after_ret(ctx);
    // SAFETY: as in `enter`. Not a reference: the stack below it is written through the pointer.
    unsafe {
        if (*thread).sp == 0 || (*thread).sp != call.entry_sp() {
            return;
        }
        (*thread).sp = 0;
    }
    record::returned(&call, thread, source);
    // SAFETY: as above. What is captured outside of a call is the heap's.
    unsafe { (*thread).domain = Domain::Heap as u16 };
}

/// A stack's id in the domain of the call that `thread` is at.
#[inline(always)]
pub fn in_domain(thread: *const ThreadState, id: StackId) -> StackId {
    // SAFETY: `thread` points to a map value that belongs to this thread alone.
    let domain = unsafe { (*thread).domain };
    id.in_domain(if domain == Domain::Python as u16 { Domain::Python } else { Domain::Heap })
}

/// `free` was entered. The block leaves the live set now: after the call its address may be another's.
#[inline(always)]
pub fn free(ctx: &ProbeContext, address: u64) {
    if address == 0 || !control::active() {
        return;
    }
    let mut last = 0;
    if let Some(thread) = this_thread() {
        // SAFETY: as in `enter`.
        let thread = unsafe { &mut *thread };
        if thread.sp != 0 && is_nested(thread.sp, calls::entry_sp(ctx)) {
            if thread.nested_frees < MAX_NESTED {
                thread.nested_frees += 1;
                return; // `realloc(p, 0)` calls `free`: the reallocation accounts for the block
            }
            missed_return(thread);
        }
        last = thread.last_freed;
        thread.last_freed = address;
        if thread.last_block == address {
            thread.last_block = 0;
        }
    }
    record::freed(ctx, address, last);
}

/// The call in flight has not returned and never will.
#[inline(always)]
fn missed_return(thread: &mut ThreadState) {
    tally::count(TallyKind::AllocMissedReturn);
    tally::add(TallyKind::AllocNested, u64::from(thread.nested_allocs));
    tally::add(TallyKind::FreeNested, u64::from(thread.nested_frees));
    record::abandon(thread);
}

/// Whether a call entered at `sp` is part of the one that was entered at `outer`.
#[inline(always)]
pub fn is_nested(outer: u64, sp: u64) -> bool {
    if sp > outer {
        return false;
    }
    // SAFETY: reads the target's memory through the helper, which checks the address.
    let Ok(word) = (unsafe { bpf_probe_read_user(outer as *const u64) }) else { return false };
    match control::trampoline() {
        0 => may_be_trampoline(word),
        trampoline => word == trampoline,
    }
}

/// Before user space has found the trampoline: it lies at the very start of a page, in the upper half of the
/// target's addresses. No return address does, and few data.
#[inline(always)]
fn may_be_trampoline(word: u64) -> bool {
    const PAGE: u64 = 4096;
    const UPPER_HALF: u64 = 1 << 46;
    word & (PAGE - 1) == 0 && word >= UPPER_HALF
}

/// The current thread ends, or its image does.
#[inline(always)]
pub fn forget_thread() {
    if !control::active() {
        return; // the books are being closed: a call in flight is still to be counted as such
    }
    let id = bpf_get_current_pid_tgid();
    let Some(thread) = THREADS.get_ptr_mut(id) else { return };
    // SAFETY: as in `enter`.
    let thread = unsafe { &mut *thread };
    mappings::abandon(thread);
    if thread.sp != 0 {
        tally::count(TallyKind::AllocUnfinished);
        record::abandon(thread);
    }
    let _ = THREADS.remove(id);
}

/// The current thread's entry, made if there is none. `None` where there is no room.
#[inline(always)]
pub fn this_thread() -> Option<*mut ThreadState> {
    let id = bpf_get_current_pid_tgid();
    if let Some(thread) = known_thread(id) {
        return Some(thread);
    }
    let blank = BLANK_THREAD.get(0)?;
    let _ = THREADS.insert(id, blank, u64::from(BPF_NOEXIST));
    THREADS.get_ptr_mut(id)
}

/// A thread's entry, if it has one.
#[inline(always)]
pub fn known_thread(id: u64) -> Option<*mut ThreadState> {
    THREADS.get_ptr_mut(id)
}
