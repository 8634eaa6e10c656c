//! The live set: one entry per allocated block.

use crate::{Epoch, Space, StackId, pod};

/// Where a block is: the address space in the top byte, the address below it.
///
/// User addresses have at most 57 bits with five-level paging, and the lower half of them 56, so
/// nothing is cut off. The space wraps after 256 `execve`s; by then the first one's are purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct LiveKey(pub u64);

impl LiveKey {
    const ADDRESS_BITS: u32 = 56;

    /// The key of the block at `address`.
    #[inline(always)]
    pub const fn new(space: Space, address: u64) -> Self {
        let mask = (1 << Self::ADDRESS_BITS) - 1;
        Self(((space.0 as u64) << Self::ADDRESS_BITS) | (address & mask))
    }

    /// The low byte of the address space's number.
    pub const fn space_byte(self) -> u8 {
        (self.0 >> Self::ADDRESS_BITS) as u8
    }
}

/// A block that was allocated during the trace and not freed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct LiveBlock {
    /// Bytes, as requested by the program.
    pub size: u64,
    /// The stack that allocated it.
    pub stack: StackId,
    /// The epoch it was born in.
    pub born: Epoch,
    /// Padding, zero.
    pub _pad: u32,
}

const _: () = assert!(size_of::<LiveBlock>() == 24);

pod!(LiveKey, LiveBlock);
