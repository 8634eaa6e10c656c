//! What the kernel side needs to know of a `CPython` interpreter, and what it tells of Python's frames.

use crate::{
    EventHeader, Space, StackHash, StackId,
    limits::{
        MAX_PYTHON_FILE, MAX_PYTHON_FRAMES, MAX_PYTHON_LINES, MAX_PYTHON_NAME, MAX_PYTHON_RUNS,
        WINDOW_WORDS,
    },
    pod,
};

/// How an interpreter links its frames, and where a run of them (those that one call of its evaluation function works
/// on) ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PythonWalk {
    /// No interpreter, or none that is fit to be walked.
    None = 0,
    /// 3.10: each frame is a run. `CFrame`s, which lie on the C stack, are linked beside them.
    Each = 1,
    /// 3.11: a run ends with a frame whose `is_entry` is 1. `CFrame`s as above.
    Entry = 2,
    /// 3.12, 3.13: a run ends before a frame that the interpreter keeps on its C stack (`owner` 3), which is not one of Python's.
    Shim = 3,
}

/// An interpreter in the target. Offsets are bytes from the beginning of the structure that is named.
///
/// Not locked: while it is written, `walk` is [`PythonWalk::None`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PythonConfig {
    /// A [`PythonWalk`].
    pub walk: u32,
    /// The address space that it was found in.
    pub space: u32,
    /// Where a thread keeps the address of its `PyThreadState`: from the thread pointer (`fs`), as a two's complement number.
    pub thread_state: u64,
    /// Address of `None`: what a shim's code is in 3.13.
    pub none: u64,
    /// `PyThreadState`: the frame (3.10, 3.13); 0 where the `CFrame` has it (3.11, 3.12).
    pub frame: u32,
    /// `PyThreadState`: the `CFrame` (3.10, 3.11, 3.12); 0 where there is none (3.13).
    pub cframe: u32,
    /// `CFrame`: the frame (3.11, 3.12).
    pub cframe_frame: u32,
    /// `CFrame`: the one before (3.10, 3.11).
    pub cframe_previous: u32,
    /// `PyThreadState`: the kernel's id of the thread (`native_thread_id`, 64 bits); 0 where there is none (3.10).
    pub thread_id: u32,
    /// Frame: the caller's.
    pub previous: u32,
    /// Frame: its code object.
    pub code: u32,
    /// Frame: the instruction: an address in the code object's bytes, or in 3.10 an index, 32 bits.
    pub instruction: u32,
    /// Frame: who owns it (3.12, 3.13), or whether it is an entry (3.11); one byte.
    pub owner: u32,
    /// Code object: its instructions (3.11 on); 0 where `instruction` is an index.
    pub bytes: u32,
    /// Code object: the [`PYTHON_CODE_WORDS`] words that tell it from another one at the same place later begin here.
    pub identity: u32,
    /// Code object: its file's name, a `str`.
    pub file: u32,
    /// Code object: its name, a `str`.
    pub name: u32,
    /// Code object: its line table, a `bytes`.
    pub line_table: u32,
    /// `str`: the characters, where all of them are ASCII.
    pub ascii: u32,
    /// `str`: the characters, where not.
    pub compact: u32,
}

/// Bytes of a code object from its beginning that have all that is asked for.
pub const PYTHON_CODE_BYTES: usize = 144;

/// `str`, `bytes`: how many characters or bytes, 64 bits.
pub const PYTHON_LENGTH: u64 = 16;

/// `str`: what kind of characters, a [`PythonText`].
pub const PYTHON_TEXT: u64 = 32;

/// `bytes`: the bytes.
pub const PYTHON_BYTES: u64 = 32;

/// `PyASCIIObject.state`: two bits are `interned` in 3.10 to 3.13, three `kind`, then one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PythonText(pub u32);

impl PythonText {
    /// Bytes of a character: 1, 2 or 4; anything to 7 in memory that is no text.
    #[inline(always)]
    pub const fn width(self) -> u64 {
        (self.0 >> 2 & 7) as u64
    }

    /// Whether the characters follow in the same block.
    #[inline(always)]
    pub const fn is_compact(self) -> bool {
        self.0 >> 5 & 1 == 1
    }

    /// Whether all characters are ASCII.
    #[inline(always)]
    pub const fn is_ascii(self) -> bool {
        self.0 >> 6 & 1 == 1
    }
}

/// Words of a code object that its checksum is made of: counts of arguments, first line, version, and where its names and line table are.
///
/// One more on either side would take in what changes during its life: in 3.11 the counter that tells when it is warm, in all of them
/// (but 3.10) the list of its weak references.
pub const PYTHON_CODE_WORDS: usize = 11;

/// The checksum of these words. Each is multiplied by a number of its own: so none has to wait for the one before.
#[inline(always)]
pub const fn python_checksum(words: &[u64; PYTHON_CODE_WORDS]) -> u32 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut sum = 0_u64;
    let mut i = 0;
    while i < PYTHON_CODE_WORDS {
        let own = MULTIPLIER.wrapping_mul(2 * i as u64 + 1);
        sum = sum.wrapping_add(words[i].wrapping_mul(own));
        i += 1;
    }
    let mixed = (sum ^ (sum >> 32)).wrapping_mul(MULTIPLIER);
    (mixed >> 32) as u32
}

/// A frame of Python's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct PythonFrame {
    /// Address of the code object.
    pub code: u64,
    /// [`python_checksum`] of it; 0 where it could not be read.
    pub checksum: u32,
    /// Index of the instruction in code units of 2 bytes, which is that of a call in progress; negative before the first.
    pub instruction: i32,
}

/// How the walk along Python's frames ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PythonEnd {
    /// At the outermost frame.
    Outermost = 0,
    /// The thread runs no Python.
    NoThreadState = 1,
    /// The thread state says that it is another thread's.
    OtherThread = 2,
    /// Memory could not be read.
    ReadFault = 3,
    /// More frames than [`MAX_PYTHON_FRAMES`], or more runs than [`MAX_PYTHON_RUNS`].
    Truncated = 4,
}

impl PythonEnd {
    /// As the JSON report has it; `None` where there are no frames of Python's to tell of.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Outermost => "complete",
            Self::NoThreadState => return None,
            Self::OtherThread => "other_thread",
            Self::ReadFault => "read_fault",
            Self::Truncated => "truncated",
        })
    }

    /// The end that the kernel side wrote; `None` where the number means nothing to us.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            0 => Self::Outermost,
            1 => Self::NoThreadState,
            2 => Self::OtherThread,
            3 => Self::ReadFault,
            4 => Self::Truncated,
            _ => return None,
        })
    }
}

/// What Python's frames add to a stack's id, in the making: frames and ends of runs, from the innermost outwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct PythonHash(pub u64);

impl PythonHash {
    /// No frames.
    pub const NEW: Self = Self(0x7079_7468_6f6e_0001);

    /// Mixes in a frame.
    #[inline(always)]
    #[must_use]
    pub const fn with(self, frame: PythonFrame) -> Self {
        let place = ((frame.checksum as u64) << 32) | frame.instruction as u32 as u64;
        Self(StackHash(self.0).with(frame.code).with(place).0)
    }

    /// Mixes in the end of a run.
    #[inline(always)]
    #[must_use]
    pub const fn with_run_end(self) -> Self {
        // No code object lies there.
        Self(StackHash(self.0).with(u64::MAX).0)
    }

    /// The id of a stack with these frames, which ended in [`PythonEnd`] `end`; `native` is that of its native ones.
    #[inline(always)]
    pub const fn finish(self, native: StackId, end: u32) -> StackId {
        StackHash(native.0).with(self.0).finish(end)
    }
}

/// A thread's walk along Python's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PythonPass {
    /// The thread's stack pointer after the call.
    pub sp: u64,
    /// The next frame.
    pub frame: u64,
    /// The `CFrame` of the run that it is in; 0 where there is none.
    pub cframe: u64,
    /// A [`PythonHash`].
    pub hash: u64,
    /// A [`StackHash`] of the anchors; 0 for none. A remembered native stack, which has them in it, depends on it.
    pub anchors: u64,
    /// 1 where there is something to tell, and the stack's id has it in it.
    pub tells: u32,
    /// How it ended: a [`PythonEnd`].
    pub end: u32,
    /// Bytes of a frame that are needed.
    pub frame_bytes: u32,
    /// The thread's id as its own pid namespace numbers it; 0 while not asked for.
    pub thread_id: u32,
    /// The address that the window is a copy of.
    pub base: u64,
    /// Bytes of the window that are valid.
    pub valid: u32,
    /// How often code objects were freed before the walk; 0 where that is not known.
    pub generation: u32,
    /// Where the frame lies that was found last, of those that lie one above the other.
    pub lowest: u64,
    /// Where that of the last walk does.
    pub floor: u64,
    /// The thread pointer; 0 while not asked for.
    pub pointer: u64,
    /// The address space that it is good for.
    pub pointer_space: u32,
    /// Padding, zero.
    pub _pad: u32,
}

/// The frames of Python's that belong to a stack. Comes before the [`crate::StackEvent`] of the same id.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct PythonEvent {
    /// Kind and address space.
    pub header: EventHeader,
    /// The stack's id.
    pub stack: StackId,
    /// How many of `frames` are set.
    pub len: u32,
    /// A [`PythonEnd`].
    pub end: u32,
    /// How many of `runs` are set.
    pub runs_len: u32,
    /// Padding, zero.
    pub _pad: u32,
    /// For each run, innermost first, how many frames come before its end.
    pub runs: [u32; MAX_PYTHON_RUNS],
    /// For each run, an address within the native frame of the evaluation function that works on it.
    pub anchors: [u64; MAX_PYTHON_RUNS],
    /// Innermost first. In the ring buffer the array ends after `len` of them.
    pub frames: [PythonFrame; MAX_PYTHON_FRAMES],
}

impl PythonEvent {
    /// Bytes before the first frame.
    pub const HEAD: usize = 32 + (size_of::<u32>() + size_of::<u64>()) * MAX_PYTHON_RUNS;
}

/// Which code object: another one may lie at the same place later, or in another image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PythonCodeKey {
    /// Address of the code object.
    pub code: u64,
    /// [`python_checksum`] of it.
    pub checksum: u32,
    /// The address space.
    pub space: Space,
}

/// A code object and what it is called, copied while the thread runs it: user space may come too late for one that lives
/// shortly. Comes once for each, before the first [`PythonEvent`] with a frame of it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct PythonCodeEvent {
    /// Kind and address space.
    pub header: EventHeader,
    /// Address of the code object.
    pub code: u64,
    /// [`python_checksum`] of it.
    pub checksum: u32,
    /// Bytes of the `str` with the file's name, its head among them; 0 where it is longer than [`MAX_PYTHON_FILE`].
    pub file_len: u32,
    /// Of the `str` with the name; [`MAX_PYTHON_NAME`].
    pub name_len: u32,
    /// Of the `bytes` with the line table; [`MAX_PYTHON_LINES`].
    pub lines_len: u32,
    /// The code object's first bytes.
    pub head: [u8; PYTHON_CODE_BYTES],
    /// The file's name, the name and the line table, each filled up to a multiple of 8 bytes. In the ring buffer the array
    /// ends after them.
    pub objects: [u8; MAX_PYTHON_FILE + MAX_PYTHON_NAME + MAX_PYTHON_LINES],
}

impl PythonCodeEvent {
    /// Bytes before the objects.
    pub const HEAD: usize = 32 + PYTHON_CODE_BYTES;
}

const _: () = assert!(size_of::<PythonCodeKey>() == 16);
const _: () = assert!(core::mem::offset_of!(PythonCodeEvent, objects) == PythonCodeEvent::HEAD);
const _: () = assert!(
    size_of::<PythonCodeEvent>()
        == PythonCodeEvent::HEAD + MAX_PYTHON_FILE + MAX_PYTHON_NAME + MAX_PYTHON_LINES
);
// It is put together in a thread's window.
const _: () = assert!(size_of::<PythonCodeEvent>() <= WINDOW_WORDS * size_of::<u64>());

const _: () = assert!(size_of::<PythonConfig>() == 88);
const _: () = assert!(size_of::<PythonFrame>() == 16);
const _: () = assert!(core::mem::offset_of!(PythonEvent, frames) == PythonEvent::HEAD);
const _: () = assert!(
    size_of::<PythonEvent>() == PythonEvent::HEAD + size_of::<PythonFrame>() * MAX_PYTHON_FRAMES
);

const _: () = assert!(size_of::<PythonPass>() == 104);
const _: () = assert!(MAX_PYTHON_FRAMES.is_power_of_two() && MAX_PYTHON_RUNS.is_power_of_two());

pod!(PythonConfig, PythonFrame, PythonPass, PythonEvent, PythonCodeKey, PythonCodeEvent);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_numbered_as_they_are_read() {
        for raw in 0..5 {
            assert_eq!(PythonEnd::from_raw(raw).map(|end| end as u32), Some(raw));
        }
        assert_eq!(PythonEnd::from_raw(5), None);
    }

    #[test]
    fn each_word_of_a_code_object_counts_and_where_it_is() {
        let words = [5; PYTHON_CODE_WORDS];
        let mut sums = [0; PYTHON_CODE_WORDS + 1];
        sums[PYTHON_CODE_WORDS] = python_checksum(&words);
        for word in 0..PYTHON_CODE_WORDS {
            let mut words = words;
            words[word] = 6;
            sums[word] = python_checksum(&words);
        }
        for (at, sum) in sums.iter().enumerate() {
            assert!(!sums[..at].contains(sum));
        }
    }

    #[test]
    fn lines_runs_and_ends_are_part_of_the_id() {
        let frame = |instruction| PythonFrame { code: 0x10, checksum: 7, instruction };
        let native = StackId(5);
        let id = |hash: PythonHash| hash.finish(native, 0);
        let one = PythonHash::NEW.with(frame(1));
        assert_ne!(id(one), id(PythonHash::NEW.with(frame(2))));
        assert_ne!(id(one.with(frame(2))), id(one.with_run_end().with(frame(2))));
        assert_ne!(id(one), one.finish(native, 4));
        assert_ne!(id(one), one.finish(StackId(6), 0));
        assert_ne!(id(PythonHash::NEW), native);
    }
}
