//! What the kernel tells user space through the ring buffer.

use crate::{
    Space, StackId,
    limits::{MAX_FRAMES, RAW_STACK_BYTES},
    pod,
};

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EventKind {
    /// A stack seen for the first time; a [`StackEvent`], cut after its last frame.
    Stack = 1,
    /// A mark ended an epoch; a bare [`EventHeader`]. Only a wake-up: the epoch's slot has the facts.
    Mark = 2,
    /// The target replaced its image (`execve`); a bare [`EventHeader`].
    Exec = 3,
    /// The dynamic linker changed the list of loaded objects; a bare [`EventHeader`].
    Objects = 4,
    /// The target changed its mappings; a [`crate::MapEvent`].
    Mapping = 5,
    /// The main thread ended; a bare [`EventHeader`]. The kernel fires probes for the address space of the task
    /// that they were set for: if others go on, they are not seen any more.
    MainExit = 6,
    /// Another thread replaced the image, and took the main one's place; a bare [`EventHeader`]. As above.
    ThreadExec = 7,
    /// A stack that the kernel side could not unwind, as raw memory; a [`RawStackEvent`].
    RawStack = 8,
    /// The frames of Python's of a stack; a [`crate::PythonEvent`], cut after its last frame. The [`StackEvent`] follows.
    PythonStack = 9,
    /// An interpreter of Python's is ready, and about to run the program; a bare [`EventHeader`].
    PythonStart = 10,
    /// A code object of Python's; a [`crate::PythonCodeEvent`], cut after its last byte. A [`crate::PythonEvent`] follows.
    PythonCode = 11,
}

impl EventKind {
    /// The kind that the kernel wrote; `None` where the number means nothing to us.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            1 => Self::Stack,
            2 => Self::Mark,
            3 => Self::Exec,
            4 => Self::Objects,
            5 => Self::Mapping,
            6 => Self::MainExit,
            7 => Self::ThreadExec,
            8 => Self::RawStack,
            9 => Self::PythonStack,
            10 => Self::PythonStart,
            11 => Self::PythonCode,
            _ => return None,
        })
    }
}

/// The beginning of every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct EventHeader {
    /// An [`EventKind`].
    pub kind: u32,
    /// The address space it happened in.
    pub space: Space,
}

/// A stack and its id.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct StackEvent {
    /// Kind and address space.
    pub header: EventHeader,
    /// The id that rows and live blocks refer to.
    pub stack: StackId,
    /// How many of `frames` are set.
    pub len: u32,
    /// How it ended: a [`crate::UnwindStatus`].
    pub status: u32,
    /// [`crate::FrameWord`]s, innermost first. In the ring buffer the array ends after `len` of them.
    pub frames: [u64; MAX_FRAMES],
}

impl StackEvent {
    /// Bytes before the first frame.
    pub const HEAD: usize = 24;
}

/// The top of a thread's stack and the registers to begin with, for user space to unwind. A [`StackEvent`] with
/// what the kernel side found of it follows under the same id.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct RawStackEvent {
    /// Kind and address space.
    pub header: EventHeader,
    /// The id that the block refers to; no other block does.
    pub stack: StackId,
    /// Where the allocation call returned to.
    pub ip: u64,
    /// The caller's stack pointer: the address of `bytes`.
    pub sp: u64,
    /// The caller's `rbp`.
    pub bp: u64,
    /// [`crate::KernelState::removals`], before: what objects were mapped then is known only while this stays.
    pub removals: u64,
    /// How many of `bytes` are set, a multiple of 8.
    pub len: u32,
    /// Padding, zero.
    pub _pad: u32,
    /// The memory.
    pub bytes: [u8; RAW_STACK_BYTES],
}

impl RawStackEvent {
    /// Bytes before the memory.
    pub const HEAD: usize = 56;
}

const _: () = assert!(size_of::<RawStackEvent>() == RawStackEvent::HEAD + RAW_STACK_BYTES);
const _: () = assert!(core::mem::offset_of!(RawStackEvent, bytes) == RawStackEvent::HEAD);
const _: () = assert!(size_of::<EventHeader>() == 8);
const _: () = assert!(size_of::<StackEvent>() == StackEvent::HEAD + 8 * MAX_FRAMES);
const _: () = assert!(core::mem::offset_of!(StackEvent, frames) == StackEvent::HEAD);

pod!(EventHeader, StackEvent, RawStackEvent);
