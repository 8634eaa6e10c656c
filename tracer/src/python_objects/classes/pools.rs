//! Adding up what the pools' headers say.

use super::{
    arena::{Arena, ENTRY},
    geometry::Geometry,
    pool::Pool,
    search::{self, NotFound, Place},
    view::View,
};
use crate::ledger::ClassSample;

/// The array never has fewer entries.
const FEWEST: u64 = 16;
/// Bytes of the array that are read, at most: of 2 TiB in arenas.
const MOST_BYTES: u64 = 96 << 20;
/// How often it is read anew while arenas come and go, or headers are being written.
const ATTEMPTS: u32 = 3;

/// What the books say at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Blocks in use, by size class.
    pub sample: ClassSample,
    /// The pools that have any of them.
    pub pools: Vec<UsedPool>,
}

/// A pool with blocks in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedPool {
    /// Where it begins.
    pub address: u64,
    /// Bytes of its blocks in use.
    pub used_bytes: u64,
}

/// The books of an interpreter's own allocator.
#[derive(Clone, Debug)]
pub struct Pools {
    place: Place,
}

impl Pools {
    /// Looks for them in an interpreter's data, given as stretches of addresses (the first, and the one after the last).
    ///
    /// # Errors
    ///
    /// Where they are not there, or not as they are known to be.
    pub fn find(view: &impl View, data: &[(u64, u64)]) -> Result<Self, NotFound> {
        let place = search::find(view, data)?;
        Ok(Self { place })
    }

    /// Blocks in use now, by size class. Of a process that stands still, exactly; of one that runs, as each pool was when its
    /// header was read. `None` where the array is not where it was found: the process has ended or replaced its image.
    pub fn read(&mut self, view: &impl View) -> Option<Reading> {
        let mut latest = None;
        for _ in 0..ATTEMPTS {
            let (array, arenas) = self.arenas(view)?;
            let (reading, real) = self.add_up(view, &arenas);
            let (array_after, arenas_after) = self.arenas(view)?;
            if real == 0 {
                continue;
            }
            let is_whole = reading.sample.unread_pools == 0;
            latest = Some(reading);
            if is_whole && (array, arenas) == (array_after, arenas_after) {
                break;
            }
        }
        latest
    }

    /// The array's address, and what may be its arenas, each with its index.
    fn arenas(&mut self, view: &impl View) -> Option<(u64, Vec<(u32, Arena)>)> {
        let geometry = self.place.geometry;
        let mut found = None;
        // The array moves as it is enlarged, and of several variables one has its address at all times.
        self.place.variables.retain(|&variable| {
            let Some(array) = view.word(variable) else { return false };
            let arenas = entries(view, array, geometry);
            let is_array = begins_with_its_first(view, &arenas, geometry);
            if is_array {
                found = Some((array, arenas));
            }
            is_array
        });
        found
    }

    /// The sum over all pools, and how many of the arenas are ones.
    fn add_up(&self, view: &impl View, arenas: &[(u32, Arena)]) -> (Reading, usize) {
        let geometry = self.place.geometry;
        let of = |&(_, arena): &(u32, Arena)| arena.pools(geometry);
        let addresses: Vec<u64> = arenas.iter().flat_map(of).collect();
        let mut headers = addresses.iter().copied().zip(view.gather(&addresses));
        let (mut reading, mut real) = (Reading::default(), 0);
        for (index, arena) in arenas {
            let count = arena.pools(geometry).count();
            let pools: Vec<_> = headers.by_ref().take(count).collect();
            let decoded = |header: &Option<_>| Pool::decode(&header.as_ref().copied()?, geometry);
            // What follows the array in memory may look like an entry, but no pool says that it is its own.
            if !pools
                .iter()
                .any(|(_, header)| decoded(header).is_some_and(|pool| pool.arena == *index))
            {
                continue;
            }
            real += 1;
            for (address, header) in pools {
                match (decoded(&header), header) {
                    (_, Some(header)) if Pool::is_unused(&header) => {}
                    (Some(pool), _) if pool.arena == *index => {
                        reading.sample.blocks[pool.class as usize] += u64::from(pool.used);
                        reading.pools.push(UsedPool { address, used_bytes: pool.used_bytes() });
                    }
                    _ => reading.sample.unread_pools += 1,
                }
            }
        }
        (reading, real)
    }
}

/// What may be the entries of an array there that have an arena. How long it is, no symbol tells either; but it is doubled as
/// it fills, so it never has more than twice what could be mapped at once. What follows it is told by its pools.
fn entries(view: &impl View, array: u64, geometry: Geometry) -> Vec<(u32, Arena)> {
    let most = (view.peak() / geometry.arena).saturating_mul(2).max(FEWEST);
    let bytes = most.saturating_mul(ENTRY as u64).min(MOST_BYTES);
    let mut bytes = vec![0; bytes as usize];
    let read = view.read(array, &mut bytes);
    (0..)
        .zip(bytes[..read].as_chunks::<ENTRY>().0)
        .filter_map(|(index, entry)| Some((index, Arena::decode(entry, geometry)?)))
        .collect()
}

/// Whether the first of them is in the place that its pools say.
fn begins_with_its_first(view: &impl View, arenas: &[(u32, Arena)], geometry: Geometry) -> bool {
    let Some((index, arena)) = arenas.iter().find(|(_, arena)| arena.end > arena.first_pool) else {
        return false;
    };
    let headers = view.gather(&[arena.first_pool]);
    let first = headers.first().copied().flatten();
    first.and_then(|header| Pool::decode(&header, geometry)).is_some_and(|it| it.arena == *index)
}
