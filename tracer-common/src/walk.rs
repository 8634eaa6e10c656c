//! A stack walk's state, and what is remembered of finished ones.

use crate::{
    StackId,
    limits::{CACHED_RULES, MEMO_SLOTS},
    pod,
};

/// One thread's walk from frame to frame. Kept in memory, where the verifier does not follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Walk {
    /// The frame's code address.
    pub ip: u64,
    /// Its stack pointer.
    pub sp: u64,
    /// Its `rbp`; 0 where it is lost.
    pub bp: u64,
    /// Where `bp` was read from; 0 while it is the register's own.
    pub bp_slot: u64,
    /// The innermost frame's code address.
    pub first_ip: u64,
    /// The innermost frame's stack pointer.
    pub first_sp: u64,
    /// The innermost frame's `rbp`.
    pub first_bp: u64,
    /// The address that the window is a copy of.
    pub base: u64,
    /// Words of the window that are valid.
    pub end: u64,
    /// The stack's id so far: a [`crate::StackHash`].
    pub hash: u64,
    /// How often objects were unloaded before the walk.
    pub removals: u64,
    /// Flags of the next frame's word.
    pub flags: u64,
    /// Frames found so far.
    pub len: u32,
    /// How it ended: a [`crate::UnwindStatus`].
    pub status: u32,
    /// 1 while `ip` is a return address.
    pub returns: u32,
    /// 1 once a frame pointer was followed for want of a rule.
    pub guessed: u32,
    /// Words that the result depends on so far; above [`MEMO_SLOTS`] where it can't be remembered.
    pub slots: u32,
    /// 1 once the result depends on the innermost frame's `rbp`.
    pub needs_bp: u32,
    /// Words of the stack, from `first_sp`, that have to be read to see whether it is the same stack again.
    pub words: u32,
    /// Always 0, which the verifier can't know.
    pub zero: u32,
    /// Where the walk goes on after the present program: which code map, which memo, and how often it has.
    pub code: u32,
    /// See `code`.
    pub memo: u32,
    /// See `code`.
    pub round: u32,
    /// See `code`: the program to end with.
    pub then: u32,
    /// The result of a walk that was made ahead; 0 while there is none.
    pub stack: StackId,
    /// 1 where the stack went to user space as raw memory, under an id that no other has.
    pub raw: u32,
    /// 1 where objects may have been unloaded since the mappings were read.
    pub outdated: u32,
    /// The next run's anchor ([`crate::PythonEvent::anchors`]); `u64::MAX` where there is none.
    pub anchor: u64,
    /// That run's number.
    pub run: u32,
    /// Padding, zero.
    pub _pad: u32,
}

/// A finished walk. It gives the same result again while the words that it read have not changed:
/// whatever thread comes there, a walk depends on nothing else.
///
/// Written by one walk at a time, read by any: `sequence` is odd while it is written, and grows.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Memo {
    /// See above. 0 for none.
    pub sequence: u64,
    /// The innermost frame's code address.
    pub ip: u64,
    /// Its stack pointer.
    pub sp: u64,
    /// Its `rbp`, where the result depends on it.
    pub bp: u64,
    /// The result.
    pub stack: StackId,
    /// Where runs of Python's frames belong in it: [`crate::PythonPass::anchors`].
    pub anchors: u64,
    /// The code map's that it was found with.
    pub generation: u32,
    /// Words that it depends on; 0 for none.
    pub len: u32,
    /// Words of the stack, from `sp`, that these lie within.
    pub words: u32,
    /// Whether it depends on `bp`.
    pub needs_bp: u32,
    /// What the words were.
    pub values: [u64; MEMO_SLOTS],
    /// Where they are, in words from `sp`.
    pub offsets: [u16; MEMO_SLOTS],
}

/// A code address's rule, remembered. Not locked: the two words are written one after the other, and belong
/// together only if `check` is what [`RuleCacheEntry::check`] makes of `value` and the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RuleCacheEntry {
    /// The rule in the low half, the number of the span in the high one.
    pub value: u64,
    /// See above.
    pub check: u64,
}

impl RuleCacheEntry {
    /// What `check` has to be.
    #[inline(always)]
    pub const fn check(pc: u64, value: u64, generation: u32) -> u64 {
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (value ^ ((generation as u64) << 42)).wrapping_mul(MULTIPLIER);
        pc ^ mixed ^ (mixed >> 31)
    }
}

/// Rules by code address.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct RuleCache(pub [RuleCacheEntry; CACHED_RULES]);

const _: () = assert!(size_of::<Walk>() == 176);
const _: () = assert!(size_of::<Memo>() == 64 + 10 * MEMO_SLOTS);
const _: () = assert!(size_of::<RuleCacheEntry>() == 16);
const _: () = assert!(CACHED_RULES.is_power_of_two());

pod!(Walk, Memo, RuleCacheEntry, RuleCache);
