//! What the kernel side needs to know of a CPython interpreter, and what it tells of Python's frames.

use crate::{
    EventHeader, StackId,
    limits::{MAX_PYTHON_FRAMES, MAX_PYTHON_RUNS},
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
    /// Padding, zero.
    pub _pad: u32,
}

/// Words of a code object that its checksum is made of: counts of arguments, first line, version, and where its names and line table are.
///
/// One more on either side would take in what changes during its life: in 3.11 the counter that tells when it is warm, in all of them
/// (but 3.10) the list of its weak references.
pub const PYTHON_CODE_WORDS: usize = 11;

/// The checksum of these words.
#[inline(always)]
pub const fn python_checksum(words: &[u64; PYTHON_CODE_WORDS]) -> u32 {
    let mut hash = crate::StackHash(0);
    let mut i = 0;
    while i < PYTHON_CODE_WORDS {
        hash = hash.with(words[i]);
        i += 1;
    }
    (hash.0 ^ (hash.0 >> 32)) as u32
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
    /// Innermost first. In the ring buffer the array ends after `len` of them.
    pub frames: [PythonFrame; MAX_PYTHON_FRAMES],
}

impl PythonEvent {
    /// Bytes before the first frame.
    pub const HEAD: usize = 32 + size_of::<u32>() * MAX_PYTHON_RUNS;
}

const _: () = assert!(size_of::<PythonConfig>() == 72);
const _: () = assert!(size_of::<PythonFrame>() == 16);
const _: () = assert!(core::mem::offset_of!(PythonEvent, frames) == PythonEvent::HEAD);
const _: () = assert!(
    size_of::<PythonEvent>() == PythonEvent::HEAD + size_of::<PythonFrame>() * MAX_PYTHON_FRAMES
);

pod!(PythonConfig, PythonFrame, PythonEvent);
