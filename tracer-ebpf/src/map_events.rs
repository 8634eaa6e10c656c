//! Telling user space of a change of mappings.

use aya_ebpf::{bindings::BPF_RB_AVAIL_DATA, helpers::bpf_get_current_pid_tgid};
use tracer_common::{
    EventHeader, EventKind, MapEvent, MapOp, StackId, TallyKind, limits::MAPPING_BYTES,
};

use crate::{epochs::Now, stack::EVENTS, tally};

/// What changed; the parts of a [`MapEvent`] that differ from call to call.
pub struct Change {
    pub op: MapOp,
    pub addr: u64,
    pub len: u64,
    pub old_addr: u64,
    pub old_len: u64,
    pub in_heap: bool,
    pub stack: StackId,
}

impl Change {
    /// A change of which nothing else is known yet.
    #[inline(always)]
    pub fn new(op: MapOp) -> Self {
        Self {
            op,
            addr: 0,
            len: 0,
            old_addr: 0,
            old_len: 0,
            in_heap: false,
            stack: StackId::UNKNOWN,
        }
    }
}

/// Sends a change that is made now. Where half of the ring buffer is taken, it is lost and counted: a
/// program that maps without end must not drive out stacks and marks.
#[inline(always)]
pub fn send(now: Now, change: &Change) {
    let event = MapEvent {
        header: EventHeader { kind: EventKind::Mapping as u32, space: now.space },
        epoch: now.epoch,
        op: change.op as u32,
        tid: bpf_get_current_pid_tgid() as u32,
        in_heap: u32::from(change.in_heap),
        addr: change.addr,
        len: change.len,
        old_addr: change.old_addr,
        old_len: change.old_len,
        stack: change.stack,
    };
    let full = EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) > u64::from(MAPPING_BYTES);
    if full || EVENTS.output::<MapEvent>(&event, 0).is_err() {
        tally::count(TallyKind::MapLost);
    }
}
