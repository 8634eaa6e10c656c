//! What is kept per thread of the target, between an allocation call's entry and its return.

use crate::{
    LiveBlock, MapCall, PythonEvent, PythonPass, StackEvent, Walk, limits::WINDOW_WORDS, pod,
};

/// How a call's arguments and result are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CallKind {
    /// The result is the block: `malloc`, `calloc`, `aligned_alloc`, `memalign`, `valloc`, `pvalloc`.
    Allocate = 1,
    /// The result is the block, and the old one is gone: `realloc`, `reallocarray`.
    Reallocate = 2,
    /// The result is a code, the block is stored through the first argument: `posix_memalign`.
    StoreThrough = 3,
}

/// An `operator new` in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct OperatorCall {
    /// Stack pointer at its entry; 0 for none. A call that threw stays here until its place is needed:
    /// it never returns, so it is never counted.
    pub sp: u64,
    /// Bytes requested.
    pub size: u64,
}

/// One thread's call in flight, and its scratch space.
///
/// Keyed by the full `pid_tgid`, so that no two programs ever share one: uprobe programs can be
/// preempted, and a slot per CPU would be written by two threads at once.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ThreadState {
    /// Stack pointer at the outermost call's entry; 0 when no call is in flight.
    pub sp: u64,
    /// Bytes requested.
    pub size: u64,
    /// `Reallocate`: the old address. `StoreThrough`: where the result goes.
    pub argument: u64,
    /// A [`CallKind`].
    pub kind: u32,
    /// 1 while `old` holds a block that was taken out of the live set.
    pub has_old: u16,
    /// A [`crate::Domain`]: the call's; the heap's while none is in flight.
    pub domain: u16,
    /// `Reallocate`: the old block's record, kept here until the result is known.
    pub old: LiveBlock,
    /// Allocation calls that were taken for a part of the one in flight.
    pub nested_allocs: u32,
    /// Frees that were.
    pub nested_frees: u32,
    /// The last block that the thread freed, until it is given one; 0 for none. A `free` that goes on to
    /// another object's by a tail jump frees one block, not two.
    pub last_freed: u64,
    /// The last block that was recorded for this thread since an `operator new` was entered: what that
    /// returns is not counted twice. 0 for none.
    pub last_block: u64,
    /// The innermost last. A second one comes from a new-handler that allocates.
    pub operators: [OperatorCall; 2],
    /// The mapping call in flight. It may be part of the allocation call, and has a slot of its own.
    pub map: MapCall,
    /// The stack walk in progress.
    pub walk: Walk,
    /// Where the stack is put together; also the event that carries it.
    pub stack: StackEvent,
    /// A copy of the top of the thread's own stack, and a word that is never written: an index into the
    /// copy stays within bounds when one is added to it.
    pub window: [u64; WINDOW_WORDS + 1],
    /// The walk along Python's frames.
    pub python: PythonPass,
    /// Where Python's frames are put together; also the event that carries them.
    pub python_stack: PythonEvent,
}

const _: () = assert!(
    size_of::<ThreadState>()
        == 152
            + size_of::<Walk>()
            + size_of::<StackEvent>()
            + size_of::<u64>() * (WINDOW_WORDS + 1)
            + size_of::<PythonPass>()
            + size_of::<PythonEvent>()
);

pod!(ThreadState);
