//! Stacks that the tables don't explain: as raw memory, for user space to unwind, which has more time.

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    cty::c_void,
    helpers::{bpf_ktime_get_ns, generated::bpf_probe_read_user},
    macros::map,
    maps::{Array, RingBuf},
};
use tracer_common::{
    Epoch, EventHeader, EventKind, RawStackEvent, Space, StackHash, StackId, ThreadState,
    UnwindStatus,
    limits::{RAW_RING_BYTES, RAW_STACK_BYTES, RAW_STACKS_PER_EPOCH, RAW_STACKS_PER_SECOND},
};

use crate::{atomic, in_flight};

const PAGE: u64 = 4096;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// What was spent.
#[repr(C)]
struct Budget {
    /// The present second.
    second: u64,
    /// Stacks in it.
    spent: u64,
    /// The epoch of which `in_epoch` tells.
    epoch: u64,
    /// Stacks in it.
    in_epoch: u64,
    /// Stacks in all.
    number: u64,
}

/// Apart from the other events, which are small and must not be lost for these.
#[map]
static RAW_STACKS: RingBuf = RingBuf::with_byte_size(RAW_RING_BYTES, 0);

#[map]
static BUDGET: Array<Budget> = Array::with_max_entries(1, 0);

/// Where the walk that gave `id` ended for want of a rule, sends the stack as it is and gives an id that is this one
/// allocation's alone: two that look the same so far may come from different callers.
#[inline(never)]
pub fn instead(thread: *mut ThreadState, space: Space, epoch: Epoch, id: StackId) -> StackId {
    // SAFETY: `thread` points to a map value that belongs to this thread alone.
    let walk = unsafe { &mut (*thread).walk };
    walk.raw = 0;
    let hopeful = walk.status == UnwindStatus::UnknownCode as u32
        || walk.status == UnwindStatus::TablePending as u32
        || walk.status == UnwindStatus::UnsupportedRule as u32;
    if !hopeful {
        return id;
    }
    let Some((number, time)) = ticket(epoch) else { return id };
    let Some(mut event) = RAW_STACKS.reserve::<RawStackEvent>(0) else { return id };
    // Another run of the same command begins to count anew.
    let own = in_flight::in_domain(thread, StackHash(id.0).with(time).finish(number as u32));
    let event_at = event.as_mut_ptr();
    // SAFETY: all fields are written but the end of `bytes`, which is not looked at.
    unsafe {
        (&raw mut (*event_at).header)
            .write(EventHeader { kind: EventKind::RawStack as u32, space });
        (*event_at).stack = own;
        (*event_at).ip = walk.first_ip;
        (*event_at).sp = walk.first_sp;
        (*event_at).bp = walk.first_bp;
        (*event_at)._pad = 0;
        (*event_at).removals = walk.removals;
        let bytes = (&raw mut (*event_at).bytes).cast::<u8>();
        let mut len = 0;
        while len < RAW_STACK_BYTES as u64 {
            let from = walk.first_sp.wrapping_add(len);
            let to = bytes.add(len as usize).cast::<c_void>();
            if bpf_probe_read_user(to, PAGE as u32, from as *const c_void) != 0 {
                // The last page of the stack begins below.
                let rest = (PAGE - from % PAGE) & (PAGE - 8);
                if bpf_probe_read_user(to, rest as u32, from as *const c_void) == 0 {
                    len += rest;
                }
                break;
            }
            len += PAGE;
        }
        (*event_at).len = len as u32;
    }
    // What was found of the stack follows, and wakes the controller.
    event.submit(BPF_RB_NO_WAKEUP.into());
    walk.raw = 1;
    own
}

/// The number of this stack and the time, if there is still room for it in this second and epoch.
#[inline(always)]
fn ticket(epoch: Epoch) -> Option<(u64, u64)> {
    let budget = BUDGET.get_ptr_mut(0)?;
    // SAFETY: points to the map's only element. Two threads may begin a second at once; then a few more go.
    unsafe {
        let time = bpf_ktime_get_ns();
        let second = time / NS_PER_SECOND;
        if (&raw const (*budget).second).read_volatile() != second {
            (&raw mut (*budget).second).write_volatile(second);
            (&raw mut (*budget).spent).write_volatile(0);
        }
        if atomic::next(&raw mut (*budget).spent) >= u64::from(RAW_STACKS_PER_SECOND) {
            return None;
        }
        let epoch = u64::from(epoch.0);
        if (&raw const (*budget).epoch).read_volatile() != epoch {
            (&raw mut (*budget).epoch).write_volatile(epoch);
            (&raw mut (*budget).in_epoch).write_volatile(0);
        }
        if atomic::next(&raw mut (*budget).in_epoch) >= u64::from(RAW_STACKS_PER_EPOCH) {
            return None;
        }
        Some((atomic::next(&raw mut (*budget).number), time))
    }
}
