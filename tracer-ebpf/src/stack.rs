//! "Give me the stack": the frames of the block's caller, their id, and sending them to user space once.

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_F_USER_STACK},
    helpers::{bpf_get_stack, bpf_probe_read_user},
    macros::map,
    maps::{HashMap, RingBuf},
};
use tracer_common::{
    EventHeader, EventKind, ShimStep, Space, StackEvent, StackId, TallyKind, ThreadState,
    limits::{DEFAULT_MAX_STACKS, MAX_FRAMES, MAX_SHIM_STEPS, MAX_SHIMS, RING_BYTES},
};

use crate::{calls::Returned, frame_pointers, tally};

#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Stacks that user space has.
#[map]
static KNOWN: HashMap<StackId, u32> =
    HashMap::with_max_entries(DEFAULT_MAX_STACKS, BPF_F_NO_PREALLOC);

/// Return addresses in allocation shims that keep no frame pointer.
#[map]
static SHIMS: HashMap<u64, ShimStep> = HashMap::with_max_entries(MAX_SHIMS, BPF_F_NO_PREALLOC);

/// Frames that are left for the frame-pointer walk, whatever the shims took.
const WALKED: usize = MAX_FRAMES - 1 - MAX_SHIM_STEPS;

/// Writes the stack of the call that just returned into the thread's scratch, and gives its id.
///
/// The innermost frame is the call's return address; the walk's own first frame, the probe's, is skipped. A shim
/// such as `operator new` is stepped over by its own unwind rule, the rest is a frame-pointer walk, which skips
/// functions that keep no frame pointer: our own, or the kernel's where `fast` is not set. Both give the same;
/// ours costs a third, and 40 000 instructions of the verifier's time in each program that has it.
#[inline(always)]
pub fn capture(call: &Returned, space: Space, thread: *mut ThreadState, fast: bool) -> StackId {
    let (mut ip, mut sp) = (call.ip, call.sp);
    // SAFETY: `thread` points to a map value that belongs to this thread alone.
    let frames = unsafe { (&raw mut (*thread).stack.frames).cast::<u64>() };
    let mut len = 0;
    let mut walks = true;
    for _ in 0..=MAX_SHIM_STEPS {
        // SAFETY: `len` is at most MAX_SHIM_STEPS, below MAX_FRAMES.
        unsafe { frames.add(len).write(ip) };
        len += 1;
        // SAFETY: entries of this map are written before the probes are attached, never removed.
        let Some(step) = (unsafe { SHIMS.get(ip) }) else { break };
        let caller_sp = sp.wrapping_add(u64::from(step.cfa_offset));
        // SAFETY: reads the target's memory through the helper, which checks the address.
        let Ok(caller) = (unsafe { bpf_probe_read_user((caller_sp - 8) as *const u64) }) else {
            break;
        };
        (ip, sp) = (caller, caller_sp);
        walks &= step.keeps_rbp != 0;
    }
    len = frame_pointers::hide(len as u64, thread) as usize;
    if walks && len <= MAX_SHIM_STEPS + 1 {
        // SAFETY: `len + WALKED` is at most MAX_FRAMES.
        let callers = unsafe { frames.add(len) };
        // SAFETY: the context is the probe's register set.
        let fp = unsafe { (*call.regs).rbp };
        let walked =
            if fast { frame_pointers::walk(thread, sp, fp, callers, WALKED) } else { None };
        len += match walked {
            Some(walked) => walked,
            None => kernel_walk(call, callers),
        };
    }
    let total = len;
    let id = hash(frames, total, space);
    // SAFETY: as above.
    unsafe { (*thread).stack.len = total as u32 };
    id
}

/// The kernel's own walk. Knows where functions with a return probe were called from, since 6.11.
#[inline(always)]
fn kernel_walk(call: &Returned, callers: *mut u64) -> usize {
    let bytes = (WALKED * size_of::<u64>()) as u32;
    // The low byte skips the innermost frame.
    let flags = u64::from(BPF_F_USER_STACK) | 1;
    // SAFETY: the caller has room for WALKED addresses.
    let walked = unsafe { bpf_get_stack(call.regs.cast(), callers.cast(), bytes, flags) };
    // An error means that there was nothing to walk; the caller's own frame is there in any case.
    if walked > 0 { walked as usize / size_of::<u64>() } else { 0 }
}

/// Sends the stack in the thread's scratch to user space, unless it has it already. A stack is known only
/// once it is in the ring buffer.
#[inline(always)]
pub fn send(thread: *mut ThreadState, id: StackId, space: Space) -> bool {
    if KNOWN.get_ptr(id).is_some() {
        return true;
    }
    // SAFETY: `thread` points to a map value that belongs to this thread alone.
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
    // Where the set of known stacks is full, the stack goes out again in each epoch, which harms nobody.
    let _ = KNOWN.insert(id, 1, 0);
    true
}

/// Mixes the frames into 64 bits; the address space too, because an address means nothing outside of it.
#[inline(always)]
fn hash(frames: *const u64, len: usize, space: Space) -> StackId {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = u64::from(space.0) ^ 0x6d65_6d74_7261_6365;
    for i in 0..MAX_FRAMES {
        if i >= len {
            break;
        }
        // SAFETY: `i` is below MAX_FRAMES.
        hash = (hash ^ unsafe { frames.add(i).read() }).wrapping_mul(MULTIPLIER);
        hash ^= hash >> 29;
    }
    StackId(if hash == StackId::UNKNOWN.0 { 1 } else { hash })
}
