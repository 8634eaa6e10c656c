//! Pools of Python's own allocator, which serves objects of up to 512 bytes: who took each.

use crate::{Epoch, Space, StackId, pod};

/// Bytes of a pool in CPython 3.10 and later. It begins at a multiple of that.
pub const PYTHON_POOL_BYTES: u64 = 16 << 10;

/// Who took a pool last. What lies in it now may be anybody's: all objects of one size share pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PoolTaken {
    /// The stack that asked for the object there was no room for.
    pub stack: StackId,
    /// When.
    pub epoch: Epoch,
    /// In which address space.
    pub space: Space,
}

const _: () = assert!(size_of::<PoolTaken>() == 16);

pod!(PoolTaken);
