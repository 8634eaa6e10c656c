//! The live set.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_NO_PREALLOC, BPF_NOEXIST},
    macros::map,
    maps::HashMap,
};
use tracer_common::{LiveBlock, LiveKey, limits::DEFAULT_MAX_LIVE};

// Not preallocated: a full-size table would cost its 80 bytes an entry from the start, and only few targets
// come near the limit. Insertion costs the same either way.
#[map]
static LIVE: HashMap<LiveKey, LiveBlock> =
    HashMap::with_max_entries(DEFAULT_MAX_LIVE, BPF_F_NO_PREALLOC);

const EEXIST: i32 = -17;

/// What became of an insertion.
pub struct Inserted {
    /// Whether the block is in; if not, there was no room.
    pub done: bool,
    /// The block that had the address until now. Its free was not seen.
    pub replaced: Option<LiveBlock>,
}

/// Enters a block.
#[inline(always)]
pub fn insert(key: LiveKey, block: &LiveBlock) -> Inserted {
    match LIVE.insert(key, block, u64::from(BPF_NOEXIST)) {
        Ok(()) => Inserted { done: true, replaced: None },
        Err(EEXIST) => {
            let replaced = take(key);
            Inserted { done: LIVE.insert(key, block, u64::from(BPF_ANY)).is_ok(), replaced }
        }
        Err(_) => Inserted { done: false, replaced: None },
    }
}

/// Puts back a block that was taken out, unless its address is another's by now or there is no room.
#[inline(always)]
pub fn put_back(key: LiveKey, block: &LiveBlock) -> bool {
    LIVE.insert(key, block, u64::from(BPF_NOEXIST)).is_ok()
}

/// Takes a block out. Copied before it is deleted: a deleted entry may be another block's already.
#[inline(always)]
pub fn take(key: LiveKey) -> Option<LiveBlock> {
    // SAFETY: the entry can't be removed by another thread: only the block's owner frees it, and the
    // allocator hands its address out again only after that. A program that frees twice is broken
    // anyway; then the copy may be of a newer block, and the second removal fails.
    let block = unsafe { LIVE.get(key) }.copied()?;
    LIVE.remove(key).ok().map(|()| block)
}
