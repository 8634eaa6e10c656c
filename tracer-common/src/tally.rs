//! The counters that let the ledger close: events seen, and every way to lose one.

use crate::pod;

/// One counter of a [`Tally`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum TallyKind {
    /// Outermost entries of allocation functions.
    AllocCalls = 0,
    /// Calls that returned without a block: null, or a code other than 0.
    AllocFailed,
    /// Blocks outside `--min-size`/`--max-size`.
    AllocFiltered,
    /// Blocks that were allocated while recording was disabled.
    AllocSkipped,
    /// Lost: the live set was full.
    AllocLiveFull,
    /// Lost: no room to keep the call in flight.
    AllocInflightFull,
    /// Lost: the return was not seen, and the thread went on (a longjmp out of a signal handler).
    AllocMissedReturn,
    /// Lost with such a call: taken for a part of it, perhaps wrongly. Not in [`Self::AllocCalls`].
    AllocNested,
    /// Calls whose thread ended inside of them. No block reached the program.
    AllocUnfinished,
    /// Lost: the result could not be read from the target.
    AllocReadFault,
    /// Outermost frees of an address other than null, and reallocations that let a block go.
    FreeCalls,
    /// Frees by the allocator's own code, of addresses that are not live: its housekeeping (glibc empties a
    /// thread's cache through `free` when the thread ends), or the second half of a `free` that a library in
    /// front of the allocator passed on to it. No event of the program.
    FreeInternal,
    /// Frees of an address that is not in the live set: from before the trace, or lost, or filtered.
    FreeUnknown,
    /// As [`Self::AllocNested`]. Not in [`Self::FreeCalls`].
    FreeNested,
    /// A block whose address was handed out again: its free was missed.
    FreeMissed,
    /// Recorded on the unknown stack: no room for the stack's row.
    StackFull,
    /// A new stack did not fit into the ring buffer. It is sent again with its next event.
    RingFull,
    /// Changes of mappings that were not told: no room in the ring buffer or for a call in flight, or a
    /// call that another interrupted or that never returned.
    MapLost,
    /// Pools of Python's that were taken, and it is not remembered by whom: no room for another, or what was found is no
    /// pool's address.
    PoolLost,
}

/// All counters; one of these per CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Tally {
    /// Indexed by [`TallyKind`].
    pub counts: [u64; Tally::LEN],
}

impl Tally {
    /// How many kinds there are.
    pub const LEN: usize = 19;

    /// The count of one kind.
    pub const fn get(&self, kind: TallyKind) -> u64 {
        self.counts[kind as usize]
    }
}

const _: () = assert!(TallyKind::PoolLost as usize + 1 == Tally::LEN);

pod!(Tally);
