//! The three names that everything else is keyed by.

use crate::pod;

/// A call stack: our own 64-bit hash of its frames, in user space and kernel alike.
///
/// The kernel's stack ids are not used: their buckets collide and can't be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct StackId(pub u64);

impl StackId {
    /// The row that takes what was recorded but whose stack was lost. No hash is ever 0.
    pub const UNKNOWN: Self = Self(0);
}

/// A stretch of time between two marks, counted from 0 at the start of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Epoch(pub u32);

/// One address space of the target: 0 at first, one more after each `execve`.
///
/// Addresses and stacks mean nothing outside the address space that they were seen in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Space(pub u32);

pod!(StackId, Epoch, Space);
