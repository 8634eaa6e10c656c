//! Where an interpreter keeps its array of arenas.
//!
//! Some of its variables lead there: `arenas` itself, lists of usable ones, in whatever order and under whatever names. So each
//! word of its data that leads to something like an entry is followed: to the entry, to the entry's arena, to the
//! first pool there, whose header says which entry of the array is its own. That gives the array's beginning, and a
//! word with exactly that is to be found in the data as well.

use std::collections::BTreeSet;

use thiserror::Error;

use super::{
    arena::{Arena, ENTRY},
    geometry::{GEOMETRIES, Geometry},
    pool::Pool,
    view::{Ranges, View},
};

/// Bytes of the data that are read at once.
const STRETCH: usize = 64 << 10;
/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// Why the pools of an interpreter are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotFound {
    /// There is nothing like an array of arenas.
    #[error(
        "pools as pymalloc has them were not found (another allocator, or a build that keeps them another way)"
    )]
    Nothing,
    /// There are several.
    #[error("its memory has more than one array of pymalloc's arenas")]
    Several,
}

/// Where the array is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) geometry: Geometry,
    /// Variables that had its address, one of which is the one that always has.
    pub(super) variables: Vec<u64>,
    /// Its address when it was found.
    pub(super) array: u64,
}

/// Looks for it in an interpreter's data: stretches of addresses, the first and the one after the last.
pub(super) fn find(view: &impl View, data: &[(u64, u64)]) -> Result<Place, NotFound> {
    let anonymous = view.anonymous();
    let pointers = pointers(view, data, &anonymous);
    let targets: BTreeSet<u64> = pointers.iter().map(|pointer| pointer.1).collect();
    let targets: Vec<u64> = targets.into_iter().collect();
    let mut arrays = BTreeSet::new();
    for geometry in GEOMETRIES {
        arrays.extend(arrays_behind(view, &targets, geometry, &anonymous));
    }
    let places: Vec<Place> = arrays
        .into_iter()
        .map(|(geometry, array)| {
            let to_it = pointers.iter().filter(|pointer| pointer.1 == array);
            Place { geometry, array, variables: to_it.map(|pointer| pointer.0).collect() }
        })
        .filter(|place| !place.variables.is_empty())
        .collect();
    match <[Place; 1]>::try_from(places) {
        Ok([place]) => Ok(place),
        Err(places) if places.is_empty() => Err(NotFound::Nothing),
        Err(_) => Err(NotFound::Several),
    }
}

/// The words that may be addresses of entries: where each is, and what it is.
fn pointers(view: &impl View, data: &[(u64, u64)], anonymous: &Ranges) -> Vec<(u64, u64)> {
    let mut pointers = Vec::new();
    let mut bytes = vec![0; STRETCH];
    for &(start, end) in data {
        let mut at = start.next_multiple_of(WORD as u64);
        while at < end {
            let len = (end - at).min(STRETCH as u64) as usize;
            let read = view.read(at, &mut bytes[..len]) / WORD * WORD;
            if read == 0 {
                break;
            }
            for (place, word) in (at..).step_by(WORD).zip(bytes[..read].chunks_exact(WORD)) {
                let Ok(word) = word.try_into().map(u64::from_le_bytes) else { continue };
                if word.is_multiple_of(WORD as u64) && anonymous.contain(word, ENTRY as u64) {
                    pointers.push((place, word));
                }
            }
            at += read as u64;
        }
    }
    pointers
}

/// The arrays that these addresses are those of an entry of.
fn arrays_behind(
    view: &impl View,
    targets: &[u64],
    geometry: Geometry,
    anonymous: &Ranges,
) -> Vec<(Geometry, u64)> {
    let entries = targets.iter().zip(view.gather(targets));
    let arenas: Vec<(u64, Arena)> = entries
        .filter_map(|(&target, entry)| Some((target, Arena::decode(&entry?, geometry)?)))
        .filter(|(_, arena)| arena.end > arena.first_pool)
        .filter(|(_, arena)| anonymous.contain(arena.address, geometry.arena))
        .collect();
    let first: Vec<u64> = arenas.iter().map(|(_, arena)| arena.first_pool).collect();
    arenas
        .iter()
        .zip(view.gather(&first))
        .filter_map(|((entry, _), header)| {
            let pool = Pool::decode(&header?, geometry)?;
            let before = u64::from(pool.arena) * ENTRY as u64;
            Some((geometry, entry.checked_sub(before)?))
        })
        .collect()
}
