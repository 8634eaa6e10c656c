//! Unwind tables: what user space makes of an object's call frame information, for the kernel side to search.
//!
//! A table is an array of nodes of 4 KiB, so that a search is three look-ups at most, whatever the table's
//! size: the root, a leaf, and for the rare rule that 32 bits can't hold, an escape.
//!
//! Several tables may lie in one map, one after the other; nodes are numbered from the table's own first.
//!
//! | node | holds |
//! |---|---|
//! | 0 | the root: for each leaf the pc of its first row; unused ones [`Row::END`] |
//! | 1 ..= leaves | leaves: [`LEAF_ROWS`] rows by ascending pc; unused ones have the pc [`Row::END`] |
//! | after them | [`NODE_ESCAPES`] escapes each |

use crate::pod;

/// Bytes of a node.
pub const NODE_BYTES: usize = 4096;
/// Leaves that a root can point to.
pub const ROOT_KEYS: usize = NODE_BYTES / size_of::<u32>();
/// Rows of a leaf.
pub const LEAF_ROWS: usize = NODE_BYTES / size_of::<Row>();
/// Escapes of a node.
pub const NODE_ESCAPES: usize = NODE_BYTES / size_of::<Escape>();
/// Rows that fit into one table. A larger object gets several.
pub const TABLE_ROWS: usize = ROOT_KEYS * LEAF_ROWS;

/// One node of a table, as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Node(pub [u64; NODE_BYTES / size_of::<u64>()]);

/// A rule, and the first code address that it holds for: until the next row's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Row {
    /// Bytes after the table's origin.
    pub pc: u32,
    /// What to do there.
    pub rule: Rule,
}

impl Row {
    /// The pc of unused rows; above any real one.
    pub const END: u32 = u32::MAX;
}

/// How to get from a frame to its caller's, in 32 bits.
///
/// | bits | meaning |
/// |---|---|
/// | 0–2 | [`RuleKind`] |
/// | 3–4 | [`BpRule`] |
/// | 5–18 | `a` |
/// | 19–31 | `b` |
///
/// | kind | caller's frame (CFA) | `a` | `b` |
/// |---|---|---|---|
/// | `Rsp`, `Rbp` | register + 8 `a` | unsigned, 14 bits | `BpRule::Saved`: at CFA − 8 `b` |
/// | `Deref` | the word at register + 8 `a`, + 8 `b` | bit 5: 1 for rbp, 0 for rsp; then signed, 13 bits | signed, 13 bits |
/// | `Plt` | rsp + 8, and 8 more where (pc & 15) ≥ `a` | 10 or 11 | 0 |
/// | `Escape` | in the escape with the number | 0 | number |
/// | `Invalid` | not known | 0: no call frame information; 1: some that we can't follow | 0 |
///
/// The return address lies right below the CFA, but where an escape says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Rule(pub u32);

/// The kinds of a [`Rule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RuleKind {
    /// There is none.
    Invalid = 0,
    /// Relative to `rsp`.
    Rsp = 1,
    /// Relative to `rbp`.
    Rbp = 2,
    /// What a word on the stack points to.
    Deref = 3,
    /// A stub of the procedure linkage table.
    Plt = 4,
    /// A signal handler's return: the interrupted registers are on the stack.
    Signal = 5,
    /// The outermost function: its return address is undefined.
    Stop = 6,
    /// Does not fit into 32 bits.
    Escape = 7,
}

/// Where the caller's `rbp` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BpRule {
    /// In `rbp`.
    Same = 0,
    /// On the stack, relative to the CFA.
    Saved = 1,
    /// Nowhere.
    Lost = 2,
    /// Where `rbp` points to.
    AtBp = 3,
}

impl Rule {
    /// No call frame information.
    pub const NONE: Self = Self(0);
    /// Call frame information that we can't follow.
    pub const UNSUPPORTED: Self = Self(1 << A_SHIFT);
    /// The outermost function.
    pub const STOP: Self = Self(RuleKind::Stop as u32);
    /// A signal handler's return.
    pub const SIGNAL: Self = Self(RuleKind::Signal as u32);
    /// First value of `a` that does not fit.
    pub const A_END: u32 = 1 << 14;
    /// First value of `b` that does not fit.
    pub const B_END: u32 = 1 << 13;

    /// Puts a rule together; `a` and `b` are cut to their width.
    pub const fn new(kind: RuleKind, bp: BpRule, a: u32, b: u32) -> Self {
        Self(
            kind as u32
                | ((bp as u32) << 3)
                | ((a & (Self::A_END - 1)) << A_SHIFT)
                | ((b & (Self::B_END - 1)) << B_SHIFT),
        )
    }

    /// A `Deref` rule: the CFA is the word at (rbp or rsp) + 8 `offset`, + 8 `add`. Both are signed, 13 bits.
    pub const fn deref(bp: BpRule, from_rbp: bool, offset: i32, add: i32) -> Self {
        let a = from_rbp as u32 | ((offset as u32 & (Self::B_END - 1)) << 1);
        Self::new(RuleKind::Deref, bp, a, add as u32)
    }

    /// Bits 0–2, a [`RuleKind`].
    #[inline(always)]
    pub const fn kind(self) -> u32 {
        self.0 & 7
    }

    /// Bits 3–4, a [`BpRule`].
    #[inline(always)]
    pub const fn bp(self) -> u32 {
        (self.0 >> 3) & 3
    }

    /// `a`, unsigned.
    #[inline(always)]
    pub const fn a(self) -> u32 {
        (self.0 >> A_SHIFT) & (Self::A_END - 1)
    }

    /// `b`, unsigned.
    #[inline(always)]
    pub const fn b(self) -> u32 {
        self.0 >> B_SHIFT
    }

    /// `Deref`: whether the word is relative to `rbp`.
    #[inline(always)]
    pub const fn deref_from_rbp(self) -> bool {
        self.0 & (1 << A_SHIFT) != 0
    }

    /// `Deref`: where the word is, in words from the register.
    #[inline(always)]
    pub const fn deref_offset(self) -> i32 {
        // Bits 6–18, sign-extended.
        ((self.0 << 13) as i32) >> 19
    }

    /// `Deref`: what is added to the word, in words.
    #[inline(always)]
    pub const fn deref_add(self) -> i32 {
        (self.0 as i32) >> B_SHIFT
    }
}

const A_SHIFT: u32 = 5;
const B_SHIFT: u32 = 19;

/// A rule that does not fit into a [`Rule`]: an offset too large or no multiple of 8, or a return address elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Escape {
    /// The CFA, in bytes from the register.
    pub cfa_offset: i32,
    /// The return address, in bytes from the CFA.
    pub ra_offset: i32,
    /// `BpRule::Saved`: the caller's `rbp`, in bytes from the CFA.
    pub bp_offset: i32,
    /// The register: 0 for `rsp`, 1 for `rbp`.
    pub from_rbp: u8,
    /// A [`BpRule`].
    pub bp: u8,
    /// Padding, zero.
    pub _pad: u16,
}

const _: () = assert!(size_of::<Row>() == 8);
const _: () = assert!(size_of::<Escape>() == 16);
const _: () = assert!(size_of::<Node>() == NODE_BYTES);
const _: () = assert!(ROOT_KEYS.is_power_of_two() && LEAF_ROWS.is_power_of_two());

pod!(Node, Row, Rule, Escape);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let rule = Rule::new(RuleKind::Rsp, BpRule::Saved, 16_383, 8_191);
        assert_eq!((rule.kind(), rule.bp(), rule.a(), rule.b()), (1, 1, 16_383, 8_191));
        for (offset, add) in [(0, 0), (-1, 0), (-4096, 4095), (4095, -4096), (17, -3)] {
            for from_rbp in [false, true] {
                let rule = Rule::deref(BpRule::AtBp, from_rbp, offset, add);
                assert_eq!((rule.kind(), rule.bp()), (3, 3));
                assert_eq!(rule.deref_from_rbp(), from_rbp);
                assert_eq!((rule.deref_offset(), rule.deref_add()), (offset, add));
            }
        }
    }
}
