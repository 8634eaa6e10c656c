//! Pools of Python's own allocator, which serves objects of up to 512 bytes: who took each.

use crate::{Epoch, Space, StackId, pod};

/// Bytes of a pool in CPython 3.10 and later. It begins at a multiple of that.
pub const PYTHON_POOL_BYTES: u64 = 16 << 10;

/// Which word of a map has the time, in ns, when the next stack would be due were they found at the highest rate.
pub const POOL_DUE: u32 = 0;

/// Which word has the number of the register that a pool's address is in where one is taken. User space writes it.
pub const POOL_REGISTER: u32 = 1;

/// Which word has the number of pools that were taken.
pub const POOL_TAKEN: u32 = 2;

/// How many words there are.
pub const POOL_WORDS: u32 = 3;

/// Who took a pool last. What lies in it now may be anybody's: all objects of one size share pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PoolTaken {
    /// The stack that asked for the object there was no room for; unknown where too many came at once, or there was no room for it.
    pub stack: StackId,
    /// When.
    pub epoch: Epoch,
    /// In which address space.
    pub space: Space,
}

const _: () = assert!(size_of::<PoolTaken>() == 16);

pod!(PoolTaken);
