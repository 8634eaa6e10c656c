//! Who takes pools of Python's own allocator: a hint of the lines whose objects fill them, at a small part of what it costs to
//! count each object.

use aya_ebpf::{bindings::BPF_F_NO_PREALLOC, macros::map, maps::HashMap, programs::ProbeContext};
use tracer_common::{PYTHON_POOL_BYTES, PoolTaken, TallyKind, limits::MAX_PYTHON_POOLS};

use crate::{
    calls::Returned,
    control, epochs, in_flight,
    stack::{self, Source},
    tally,
};

/// By a pool's address. One that is taken again has its entry written anew; user space, which reads which pools are in use,
/// passes over the others.
#[map]
static PYTHON_POOLS: HashMap<u64, PoolTaken> =
    HashMap::with_max_entries(MAX_PYTHON_POOLS, BPF_F_NO_PREALLOC);

/// A pool was taken, and one of its blocks is the result.
#[inline(always)]
pub fn taken(ctx: &ProbeContext) {
    let call = Returned::at_ret(ctx);
    // Null where the arena can't be mapped: then the C allocator serves the object.
    if call.result == 0 || !control::active() || control::paused() {
        return;
    }
    let Some(now) = epochs::now() else { return };
    let Some(thread) = in_flight::this_thread() else {
        tally::count(TallyKind::PoolLost);
        return;
    };
    let stack = stack::capture(&call, now, thread, Source::Walk);
    // One that finds no room is sent again with its next event.
    stack::send(thread, stack, now.space, Source::Walk);
    let pool = call.result & !(PYTHON_POOL_BYTES - 1);
    let taken = PoolTaken { stack, epoch: now.epoch, space: now.space };
    if PYTHON_POOLS.insert(pool, taken, 0).is_err() {
        tally::count(TallyKind::PoolLost);
    }
}
