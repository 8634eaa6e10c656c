//! An entry of the array of arenas (`struct arena_object`), the same from 3.6 to 3.13.

use super::geometry::Geometry;

/// Bytes of an entry.
pub(super) const ENTRY: usize = 48;

// Where its fields are.
const ADDRESS: usize = 0;
const POOL_ADDRESS: usize = 8;
const FREE_POOLS: usize = 16;
const ALL_POOLS: usize = 20;

/// Pages are that large at least, and arenas begin with one.
const PAGE: u64 = 4096;

/// An arena, by an entry that is as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arena {
    /// Where it is mapped.
    pub(super) address: u64,
    /// The first of its pools.
    pub(super) first_pool: u64,
    /// Where those end that were ever used.
    pub(super) end: u64,
}

impl Arena {
    /// From the entry's bytes; `None` for one that has no arena, or whose fields contradict each other.
    pub(super) fn decode(entry: &[u8; ENTRY], geometry: Geometry) -> Option<Self> {
        let address = long(entry, ADDRESS);
        let (free, all) = (u64::from(word(entry, FREE_POOLS)), u64::from(word(entry, ALL_POOLS)));
        if address == 0 || !address.is_multiple_of(PAGE) {
            return None;
        }
        let first_pool = geometry.first_pool(address)?;
        let arena_end = address.checked_add(geometry.arena)?;
        let end = long(entry, POOL_ADDRESS);
        let sound = all == arena_end.checked_sub(first_pool)? / geometry.pool
            && end.is_multiple_of(geometry.pool)
            && (first_pool..=arena_end).contains(&end)
            // Those that were never used are free.
            && ((arena_end - end) / geometry.pool..=all).contains(&free);
        sound.then_some(Self { address, first_pool, end })
    }

    /// The pools that were ever used.
    pub(super) fn pools(self, geometry: Geometry) -> impl Iterator<Item = u64> {
        (0..(self.end - self.first_pool) / geometry.pool)
            .map(move |index| self.first_pool + index * geometry.pool)
    }
}

fn long(entry: &[u8; ENTRY], at: usize) -> u64 {
    u64::from(word(entry, at)) | u64::from(word(entry, at + 4)) << 32
}

fn word(entry: &[u8; ENTRY], at: usize) -> u32 {
    u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]])
}
