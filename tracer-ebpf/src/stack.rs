//! "Give me the stack": the frames of the block's caller, their id, and sending them to user space once.

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_RB_AVAIL_DATA},
    macros::map,
    maps::{HashMap, RingBuf},
};
use tracer_common::{
    EventHeader, EventKind, Space, StackEvent, StackId, TallyKind, ThreadState,
    limits::{DEFAULT_MAX_STACKS, HOLD_BYTES, KEPT_BYTES, MAX_FRAMES, RING_BYTES},
};

use crate::{
    calls::Returned, control, epochs::Now, in_flight, kernel_stack, memo, process, python, raw,
    tables, tally, walk::walk,
};

#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Stacks that user space has.
#[map]
static KNOWN: HashMap<StackId, u32> =
    HashMap::with_max_entries(DEFAULT_MAX_STACKS, BPF_F_NO_PREALLOC);

/// Where a stack comes from.
#[derive(Clone, Copy)]
pub enum Source {
    /// It is walked here and now.
    Walk,
    /// It was walked before this program began ([`crate::chain`]).
    Ahead,
}

/// Finds the stack of the call that just returned, and gives its id, in the domain of the call.
///
/// Mostly it is the stack that was found here before, which takes no walk; then `thread` has its id alone, not its
/// frames.
#[inline(always)]
pub fn capture(call: &Returned, now: Now, thread: *mut ThreadState, source: Source) -> StackId {
    in_flight::in_domain(thread, find(call, now, thread, source))
}

/// The same for what is no more than a hint: where a walk doesn't come through, that is all, for how many stacks can go to user
/// space as raw memory is limited.
#[inline(always)]
pub fn capture_as_hint(call: &Returned, now: Now, thread: *mut ThreadState) -> StackId {
    python::pass(thread, now.space, call.sp);
    let native = match recall(call, now, thread) {
        Some(id) => id,
        None => walk(thread, now.space),
    };
    whole_id(thread, native)
}

#[inline(always)]
fn find(call: &Returned, now: Now, thread: *mut ThreadState, source: Source) -> StackId {
    if control::kernel_stacks() {
        return kernel_stack::capture(call, now.space, thread);
    }
    match source {
        Source::Walk => {
            python::pass(thread, now.space, call.sp);
            if let Some(id) = recall(call, now, thread) {
                return python::name(thread, id);
            }
            let id = python::name(thread, walk(thread, now.space));
            raw::instead(thread, now.space, now.epoch, id)
        }
        // SAFETY: `thread` points to a map value that belongs to this thread alone.
        Source::Ahead => unsafe { (*thread).walk.stack },
    }
}

/// The id of the native frames of the call's stack, if they are remembered. Else all is ready for a walk.
///
/// Whether objects were unloaded since the mappings were read is asked for first: the thread's own code can't be
/// unloaded from here on, and a code map that is taken into use later is only newer.
#[inline(always)]
pub fn recall(call: &Returned, now: Now, thread: *mut ThreadState) -> Option<StackId> {
    // SAFETY: the context is the probe's register set.
    let (ip, sp, bp) = (call.ip, call.sp, unsafe { (*call.regs).rbp });
    let outdated;
    // SAFETY: `thread` points to a map value that belongs to this thread alone.
    unsafe {
        let walk = &mut (*thread).walk;
        (walk.first_ip, walk.first_sp, walk.first_bp) = (ip, sp, bp);
        walk.removals = now.removals();
        outdated = walk.removals != control::known_removals();
        walk.outdated = outdated.into();
        (*thread).stack.len = 0;
        (*thread).walk.raw = 0;
    }
    if outdated {
        return None;
    }
    memo::recall(thread, ip, sp, bp, tables::generation(now.space)?)
}

/// The id of a stack, of which `native` is that of its native frames: with Python's frames, and in the domain of the call.
#[inline(always)]
pub fn whole_id(thread: *const ThreadState, native: StackId) -> StackId {
    in_flight::in_domain(thread, python::name(thread, native))
}

/// Whether user space has the stack.
#[inline(always)]
pub fn is_known(id: StackId) -> bool {
    KNOWN.get_ptr(id).is_some()
}

/// Whether the ring buffer has room for stacks.
#[inline(always)]
pub fn has_room() -> bool {
    EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) <= u64::from(RING_BYTES - KEPT_BYTES)
}

/// Whether half of the ring buffer is not read yet: the rest is for stacks that blocks are booked under.
#[inline(always)]
pub fn is_half_full() -> bool {
    EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) > u64::from(RING_BYTES / 2)
}

/// A target that may be held waits where much of the ring buffer is not read yet.
#[inline(always)]
fn make_room() {
    if control::most_rows().is_some()
        && EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) > u64::from(HOLD_BYTES)
    {
        process::hold_until_drained();
    }
}

/// Sends the stack that was just captured to user space, unless it has it already. A stack is known only once it
/// is in the ring buffer.
#[inline(always)]
pub fn send(thread: *mut ThreadState, id: StackId, space: Space, source: Source) -> bool {
    if is_known(id) {
        return true;
    }
    // SAFETY: `thread` points to a map value that belongs to this thread alone.
    if unsafe { (*thread).stack.len } == 0 {
        // It was remembered, but not its frames. The stack has not changed: the thread is in our hands.
        match source {
            Source::Walk => walk(thread, space),
            Source::Ahead => return false,
        };
    }
    make_room();
    if !has_room() || !python::send(thread, id, space) {
        tally::count(TallyKind::RingFull);
        return false;
    }
    // SAFETY: as above.
    let (event, len) = unsafe {
        let event = &raw mut (*thread).stack;
        (*event).header = EventHeader { kind: EventKind::Stack as u32, space };
        (*event).stack = id;
        (event, (*event).len as usize)
    };
    if len > MAX_FRAMES {
        return false;
    }
    let bytes = StackEvent::HEAD + len * size_of::<u64>();
    // SAFETY: `bytes` is at most the event's size.
    let event = unsafe { core::slice::from_raw_parts(event.cast::<u8>(), bytes) };
    if EVENTS.output::<[u8]>(event, 0).is_err() {
        tally::count(TallyKind::RingFull);
        return false;
    }
    // SAFETY: as above.
    if unsafe { (*thread).walk.raw } != 0 {
        return true; // it will not come again
    }
    // Where the set of known stacks is full, the stack goes out again in each epoch, which harms nobody.
    let _ = KNOWN.insert(id, 1, 0);
    true
}
