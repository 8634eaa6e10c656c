//! Bytes and the blocks they came in, signed.

use std::{
    iter::Sum,
    ops::{Add, AddAssign, Neg, Sub, SubAssign},
};

use tracer_common::RowCounts;

/// A level or a change of live memory. Ordered by bytes, then by blocks.
///
/// Sums stop at the ends of `i64` instead of wrapping: no program gets there, but a damaged counter
/// must not bring the tracer down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount {
    /// Bytes, as requested by the program.
    pub bytes: i64,
    /// Blocks.
    pub blocks: i64,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self { bytes: 0, blocks: 0 };

    /// What a row added to the live memory: allocated minus freed.
    pub fn net(counts: &RowCounts) -> Self {
        Self {
            bytes: difference(counts.alloc_bytes, counts.free_bytes),
            blocks: difference(counts.alloc_blocks, counts.free_blocks),
        }
    }

    /// Whether this is more than nothing. Blocks of no bytes (`malloc(0)`) count.
    pub fn grew(self) -> bool {
        self > Self::ZERO
    }

    /// Whether this is less than nothing.
    pub fn shrank(self) -> bool {
        self < Self::ZERO
    }
}

fn difference(plus: u64, minus: u64) -> i64 {
    let exact = i128::from(plus) - i128::from(minus);
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            blocks: self.blocks.saturating_add(other.blocks),
        }
    }
}

impl Neg for Amount {
    type Output = Self;

    fn neg(self) -> Self {
        Self { bytes: self.bytes.saturating_neg(), blocks: self.blocks.saturating_neg() }
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            blocks: self.blocks.saturating_sub(other.blocks),
        }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}
