//! The three names that everything else is keyed by.

use crate::pod;

/// A call stack: our own 64-bit hash of its frames, in user space and kernel alike.
///
/// The kernel's stack ids are not used: their buckets collide and can't be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct StackId(pub u64);

impl StackId {
    /// Set in the ids of stacks that allocated Python's objects.
    const PYTHON: u64 = 1 << 63;

    /// The row that takes what was recorded but whose stack was lost. No hash is ever 0.
    pub const UNKNOWN: Self = Self(0);

    /// The id of the same frames in a domain. Each domain has rows of its own, whatever the frames.
    #[inline(always)]
    #[must_use]
    pub const fn in_domain(self, domain: Domain) -> Self {
        let heap = self.0 & !Self::PYTHON;
        match domain {
            Domain::Heap => Self(heap),
            Domain::Python => Self(heap | Self::PYTHON),
        }
    }

    /// Whose blocks the stack's are.
    #[inline(always)]
    pub const fn domain(self) -> Domain {
        if self.0 & Self::PYTHON == 0 { Domain::Heap } else { Domain::Python }
    }
}

/// Whose block it is. Decided by the outermost allocation function that was called, so no block has two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Domain {
    /// The C allocator's.
    #[default]
    Heap = 0,
    /// One of Python's objects, or a buffer of one: what CPython's own allocator hands out, from its pools or from
    /// the C allocator.
    Python = 1,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_part_of_the_id_and_can_be_changed() {
        let heap = StackId(0x1234);
        let python = heap.in_domain(Domain::Python);
        assert_ne!(heap, python);
        assert_eq!((heap.domain(), python.domain()), (Domain::Heap, Domain::Python));
        assert_eq!(python.in_domain(Domain::Heap), heap);
        assert_eq!(python.in_domain(Domain::Python), python);
        assert_eq!(StackId::UNKNOWN.domain(), Domain::Heap);
    }
}
