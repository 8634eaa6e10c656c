//! Stacks: frames in one word each, how a stack ended, and its id.

use crate::{Domain, Space, StackId};

/// A frame in one word: which object, and where in it.
///
/// | bits | meaning |
/// |---|---|
/// | 60–63 | kind: 1 code of an object, 4 a bare address, 5 no frame: a run of Python's frames belongs here |
/// | 59 | exact: the instruction itself, not a return address: a signal came in there |
/// | 58 | guessed: found by a frame pointer, where no call frame information is |
/// | 44–57 | code of an object: its number in this run |
/// | 0–43 | code of an object: the address by its own headers |
/// | 0–57 | a bare address: the address in the target |
/// | 0–57 | a run: its number in the [`crate::PythonEvent`] of the same stack |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct FrameWord(pub u64);

impl FrameWord {
    /// Objects that can be told apart by a word.
    pub const MAX_MODULES: u32 = 1 << 14;
    /// First address by an object's headers that does not fit.
    pub const ADDRESS_END: u64 = 1 << MODULE_SHIFT;
    /// The exact flag.
    pub const EXACT: u64 = 1 << 59;
    /// The guessed flag.
    pub const GUESSED: u64 = 1 << 58;

    /// Code of an object. What does not fit is cut off: the caller checks.
    #[inline(always)]
    pub const fn in_module(module: u32, address: u64, flags: u64) -> Self {
        Self(
            (KIND_CODE << KIND_SHIFT)
                | flags
                | ((module as u64) << MODULE_SHIFT)
                | (address & (Self::ADDRESS_END - 1)),
        )
    }

    /// An address that no object has.
    #[inline(always)]
    pub const fn bare(address: u64, flags: u64) -> Self {
        Self((KIND_BARE << KIND_SHIFT) | flags | (address & BARE_MASK))
    }

    /// After the frame of Python's evaluation function: which run of Python's frames it works on.
    #[inline(always)]
    pub const fn python_run(number: u32) -> Self {
        Self((KIND_PYTHON_RUN << KIND_SHIFT) | number as u64)
    }

    /// What the word says; `None` for a kind that does not exist.
    pub const fn decode(self) -> Option<FrameAt> {
        match self.0 >> KIND_SHIFT {
            KIND_CODE => Some(FrameAt::Module {
                module: ((self.0 >> MODULE_SHIFT) as u32) & (Self::MAX_MODULES - 1),
                address: self.0 & (Self::ADDRESS_END - 1),
            }),
            KIND_BARE => Some(FrameAt::Bare { address: self.0 & BARE_MASK }),
            KIND_PYTHON_RUN => Some(FrameAt::PythonRun { number: self.0 as u32 }),
            _ => None,
        }
    }

    /// Whether it is the instruction itself, not a return address.
    pub const fn is_exact(self) -> bool {
        self.0 & Self::EXACT != 0
    }

    /// Whether it was found by a frame pointer.
    pub const fn is_guessed(self) -> bool {
        self.0 & Self::GUESSED != 0
    }
}

const KIND_SHIFT: u32 = 60;
const KIND_CODE: u64 = 1;
const KIND_BARE: u64 = 4;
const KIND_PYTHON_RUN: u64 = 5;
const MODULE_SHIFT: u32 = 44;
const BARE_MASK: u64 = (1 << 58) - 1;

/// A [`FrameWord`], taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameAt {
    /// Code of an object.
    Module {
        /// Its number in this run.
        module: u32,
        /// The address by its own headers.
        address: u64,
    },
    /// Code in no object.
    Bare {
        /// The address in the target.
        address: u64,
    },
    /// No frame: a run of Python's frames, which the frame before it works on, belongs here.
    PythonRun {
        /// Its number, the innermost is 0.
        number: u32,
    },
}

/// How a stack ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum UnwindStatus {
    /// At the outermost function, whose return address is undefined by its call frame information.
    Complete = 0,
    /// At the outermost function, but with a frame pointer followed on the way: frames may be missing.
    FramePointers = 1,
    /// At code without call frame information, where no frame pointer leads on.
    NoRule = 2,
    /// At an address that no known mapping has.
    UnknownCode = 3,
    /// At code whose table was not there yet.
    TablePending = 4,
    /// At call frame information that we can't follow.
    UnsupportedRule = 5,
    /// At memory that can't be read.
    ReadFault = 6,
    /// At a stack pointer that makes no sense.
    BadStack = 7,
    /// At the most frames that are kept.
    Depth = 8,
    /// At a function that another return probe hides the caller of.
    Hijacked = 9,
}

impl UnwindStatus {
    /// The status that the kernel side wrote; `None` where the number means nothing to us.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            0 => Self::Complete,
            1 => Self::FramePointers,
            2 => Self::NoRule,
            3 => Self::UnknownCode,
            4 => Self::TablePending,
            5 => Self::UnsupportedRule,
            6 => Self::ReadFault,
            7 => Self::BadStack,
            8 => Self::Depth,
            9 => Self::Hijacked,
            _ => return None,
        })
    }

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::FramePointers => "frame_pointers",
            Self::NoRule => "no_rule",
            Self::UnknownCode => "unknown_code",
            Self::TablePending => "table_pending",
            Self::UnsupportedRule => "unsupported_rule",
            Self::ReadFault => "read_fault",
            Self::BadStack => "bad_stack",
            Self::Depth => "truncated",
            Self::Hijacked => "hijacked",
        }
    }
}

/// A stack's id in the making: frames are mixed in from the innermost outwards, at last how it ended.
///
/// The address space is mixed in, because a bare address means nothing outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct StackHash(pub u64);

impl StackHash {
    /// A stack without frames.
    #[inline(always)]
    pub const fn new(space: Space) -> Self {
        // Not merely part of what the first word is mixed with: a word that differs as the spaces do would undo it.
        Self(0x6d65_6d74_7261_6365).with(space.0 as u64)
    }

    /// Mixes in a word.
    #[inline(always)]
    #[must_use]
    pub const fn with(self, word: u64) -> Self {
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let hash = (self.0 ^ word).wrapping_mul(MULTIPLIER);
        Self(hash ^ (hash >> 29))
    }

    /// The id of the stack in the heap's domain; never that of the unknown one.
    #[inline(always)]
    pub const fn finish(self, status: u32) -> StackId {
        let id = StackId(self.with(status as u64).0).in_domain(Domain::Heap);
        if id.0 == StackId::UNKNOWN.0 { StackId(1) } else { id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_gives_back_what_went_in() {
        let word = FrameWord::in_module(16_383, 0xfff_ffff_ffff, FrameWord::EXACT);
        let at = FrameAt::Module { module: 16_383, address: 0xfff_ffff_ffff };
        assert_eq!((word.decode(), word.is_exact(), word.is_guessed()), (Some(at), true, false));
        let word = FrameWord::bare(0xff_ffff_ffff_ffff, FrameWord::GUESSED);
        let at = FrameAt::Bare { address: 0xff_ffff_ffff_ffff };
        assert_eq!((word.decode(), word.is_exact(), word.is_guessed()), (Some(at), false, true));
        assert_eq!(FrameWord::python_run(63).decode(), Some(FrameAt::PythonRun { number: 63 }));
        assert_eq!(FrameWord(0).decode(), None);
    }

    #[test]
    fn statuses_are_numbered_as_they_are_read() {
        for raw in 0..10 {
            assert_eq!(UnwindStatus::from_raw(raw).map(|status| status as u32), Some(raw));
        }
        assert_eq!(UnwindStatus::from_raw(10), None);
    }

    #[test]
    fn how_a_stack_ended_is_part_of_its_id() {
        let hash = StackHash::new(Space(0)).with(1).with(2);
        assert_ne!(hash.finish(0), hash.finish(1));
        assert_ne!(hash.finish(0), StackHash::new(Space(0)).with(2).with(1).finish(0));
        assert_ne!(hash.finish(0), StackHash::new(Space(1)).with(1).with(2).finish(0));
    }
}
