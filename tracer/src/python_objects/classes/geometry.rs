//! How large arenas and pools are.

use crate::ledger::SIZE_CLASSES;

/// Bytes from one size class to the next, which blocks are aligned to (3.7 on, and some builds of 3.6).
pub(super) const ALIGNMENT: u64 = 16;

/// Sizes of a release's, in bytes. Each is a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Geometry {
    /// What is mapped at once.
    pub(super) arena: u64,
    /// What has blocks of one size, aligned to its own size.
    pub(super) pool: u64,
}

/// All that are known.
pub(super) const GEOMETRIES: [Geometry; 2] = [
    // 3.10 on.
    Geometry { arena: 1 << 20, pool: 16 << 10 },
    // Before.
    Geometry { arena: 256 << 10, pool: 4 << 10 },
];

impl Geometry {
    /// The first pool in an arena that begins there; `None` at the end of the address space.
    pub(super) fn first_pool(self, arena: u64) -> Option<u64> {
        arena.checked_next_multiple_of(self.pool)
    }
}

/// Bytes of a block of this class; `None` for none that there is.
pub(super) fn block_bytes(class: u32) -> Option<u64> {
    ((class as usize) < SIZE_CLASSES).then(|| (u64::from(class) + 1) * ALIGNMENT)
}
