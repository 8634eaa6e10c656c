//! The second domain: address space that the target maps itself, apart from the heap.

use crate::{Epoch, EventHeader, StackId, pod};

/// What a [`MapEvent`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MapOp {
    /// `addr`, `len` is mapped now, whatever was there before.
    Map = 1,
    /// `addr`, `len` is about to be unmapped.
    Unmap = 2,
    /// `old_addr`, `old_len` is about to be moved, grown or cut; taken out until the end is known.
    RemapStart = 3,
    /// The remapping of `old_addr`, `old_len` ended: now at `addr`, `len`; where `addr` is 0, it failed.
    RemapEnd = 4,
    /// The program break moved from `old_addr` (0: not known) to `addr`.
    Break = 5,
    /// The heap call of thread `tid` returned: what it mapped belongs to `stack`.
    Owner = 6,
}

impl MapOp {
    /// The operation that the kernel wrote; `None` where the number means nothing to us.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            1 => Self::Map,
            2 => Self::Unmap,
            3 => Self::RemapStart,
            4 => Self::RemapEnd,
            5 => Self::Break,
            6 => Self::Owner,
            _ => return None,
        })
    }
}

/// A change of the target's mappings, as a call of libc made it.
///
/// The order of the ring buffer is that of the calls wherever it matters: a range is taken out before the
/// kernel could hand it out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct MapEvent {
    /// Kind and address space.
    pub header: EventHeader,
    /// When.
    pub epoch: Epoch,
    /// A [`MapOp`].
    pub op: u32,
    /// The thread; pairs the two halves of a remapping, and a heap call with what it mapped.
    pub tid: u32,
    /// 1 where a heap call made this call: its stack follows in an [`MapOp::Owner`].
    pub in_heap: u32,
    /// Start of the new range; of `Break`, the new break.
    pub addr: u64,
    /// Bytes, as the call said them; the kernel works in pages.
    pub len: u64,
    /// Start of the old range; of `Break`, the old break.
    pub old_addr: u64,
    /// Bytes of the old range.
    pub old_len: u64,
    /// Who called; unknown where nothing grows, and while `in_heap`.
    pub stack: StackId,
}

/// One thread's mapping call in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MapCall {
    /// Stack pointer at the call's entry; 0 when none is in flight.
    pub sp: u64,
    /// Bytes asked for; of `brk` and `sbrk`, their argument.
    pub len: u64,
    /// `mremap`: the old range's start.
    pub old_addr: u64,
    /// `mremap`: the old range's bytes.
    pub old_len: u64,
    /// A [`MapCallKind`].
    pub kind: u32,
    /// 1 while mappings of the heap call in flight wait for its stack.
    pub owes_stack: u32,
}

/// How a mapping call's result is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MapCallKind {
    /// The result is the range's start: `mmap`, and `mremap` where the old range stays.
    Map = 1,
    /// The same, and the old range is gone: `mremap`.
    Remap = 2,
    /// The result is the old break, the argument the increment: `sbrk`.
    Increment = 3,
    /// The result is a code, the argument the new break: `brk`.
    Break = 4,
}

const _: () = assert!(size_of::<MapEvent>() == 64);
const _: () = assert!(size_of::<MapCall>() == 40);

pod!(MapEvent, MapCall);
