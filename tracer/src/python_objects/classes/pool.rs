//! A pool's header (`struct pool_header`), the same from 3.6 to 3.13.

use super::geometry::{Geometry, block_bytes};

/// Bytes of a header, after which the blocks follow.
pub(super) const HEADER: usize = 48;

// Where its fields are; 32 bits each.
const COUNT: usize = 0;
const ARENA_INDEX: usize = 32;
const CLASS: usize = 36;
const NEXT_OFFSET: usize = 40;
const MAX_NEXT_OFFSET: usize = 44;

/// A header that is as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    /// Index of its arena in the array.
    pub(super) arena: u32,
    /// Its size class, from 0.
    pub(super) class: u32,
    /// Blocks in use.
    pub(super) used: u32,
}

impl Pool {
    /// From the header's bytes; `None` where its fields contradict each other. So do for a moment those of a pool that is being
    /// given another size.
    pub(super) fn decode(header: &[u8; HEADER], geometry: Geometry) -> Option<Self> {
        let class = field(header, CLASS);
        let size = block_bytes(class)?;
        let used = field(header, COUNT);
        let next = u64::from(field(header, NEXT_OFFSET));
        let overhead = HEADER as u64;
        let sound = u64::from(used) <= (geometry.pool - overhead) / size
            && u64::from(field(header, MAX_NEXT_OFFSET)) == geometry.pool - size
            // The first two blocks are laid out with the header.
            && (overhead + 2 * size..=geometry.pool).contains(&next);
        sound.then_some(Self { arena: field(header, ARENA_INDEX), class, used })
    }

    /// Bytes of its blocks in use.
    pub(super) fn used_bytes(self) -> u64 {
        block_bytes(self.class).map_or(0, |size| u64::from(self.used) * size)
    }

    /// Whether a header says that none of its blocks is in use, whatever else it says.
    pub(super) fn is_unused(header: &[u8; HEADER]) -> bool {
        field(header, COUNT) == 0
    }
}

fn field(header: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}
