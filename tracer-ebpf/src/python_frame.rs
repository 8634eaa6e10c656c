//! One frame of Python's: reading it and its code object, and keeping it. Offsets are data, so each is masked.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use tracer_common::{
    PythonConfig, PythonFrame, RuleCache, ThreadState,
    limits::{MAX_PYTHON_FRAMES, MAX_PYTHON_RUNS},
};

use crate::python_code;

/// Bytes of a frame in an event.
pub const FRAME_BYTES: usize = size_of::<PythonFrame>();
/// Bytes of the thread's stack of frames that are copied at a time. A power of two.
const COPIED: u64 = 1024;
/// Where in the window the words of a code object go: behind that.
pub const CODE_WORDS: usize = COPIED as usize / size_of::<u64>() + 16;
const PAGE: u64 = 4096;

/// How many bytes of a frame have what is asked for. No more are read: it may be the last thing in its mapping.
#[inline(always)]
pub fn needed(config: &PythonConfig) -> u32 {
    const WORD: u32 = size_of::<u64>() as u32;
    let instruction = if config.bytes == 0 { WORD / 2 } else { WORD };
    let mut needed = config.previous + WORD;
    for end in [config.code + WORD, config.instruction + instruction, config.owner + 1] {
        if end > needed {
            needed = end;
        }
    }
    // Whole words, so that all of them are aligned in the window.
    needed.next_multiple_of(WORD)
}

/// A frame in the thread's window.
pub struct FrameMemory {
    thread: *mut ThreadState,
    /// Where in the window it begins, in bytes.
    at: u64,
}

impl FrameMemory {
    /// The frame at `address`; `None` where it can't be read. If it is not in the window, what lies below it is copied with it,
    /// for its callers are mostly there, unless it is one that lies `alone`.
    #[inline(always)]
    pub fn read(thread: *mut ThreadState, address: u64, alone: bool) -> Option<Self> {
        // SAFETY: `thread` points to a map value that belongs to this thread alone.
        let python = unsafe { &mut (*thread).python };
        let needed = u64::from(python.frame_bytes);
        let end = address.wrapping_add(needed);
        let at = address.wrapping_sub(python.base);
        if at < COPIED && at + needed <= u64::from(python.valid) {
            return Some(Self { thread, at });
        }
        // Not beyond the page: the interpreter's stack may begin there, and a fault costs as much as a walk.
        let below = if alone { 0 } else { address % PAGE };
        let bytes = if below + needed < COPIED { below + needed } else { COPIED };
        let base = end.wrapping_sub(bytes);
        if copy(thread, base, bytes) {
            (python.base, python.valid) = (base, bytes as u32);
            return Some(Self { thread, at: bytes - needed });
        }
        python.valid = 0;
        None
    }

    /// The word at an offset of the frame.
    #[inline(always)]
    pub fn word(&self, offset: u32) -> u64 {
        let offset = bounded::<{ COPIED - 8 }>(self.at + u64::from(offset));
        // SAFETY: the offset is masked, and aligned with it.
        unsafe { self.at::<u64>(offset).read_volatile() }
    }

    /// Half of a word.
    #[inline(always)]
    fn half(&self, offset: u32) -> u32 {
        let offset = bounded::<{ COPIED - 4 }>(self.at + u64::from(offset));
        // SAFETY: as above.
        unsafe { self.at::<u32>(offset).read_volatile() }
    }

    /// The byte at an offset of the frame.
    #[inline(always)]
    pub fn byte(&self, offset: u32) -> u8 {
        let offset = bounded::<{ COPIED - 1 }>(self.at + u64::from(offset));
        // SAFETY: as above.
        unsafe { self.at::<u8>(offset).read_volatile() }
    }

    /// The frame as it is told, of this code object.
    #[inline(always)]
    pub fn frame(&self, code: u64, config: &PythonConfig, codes: *mut RuleCache) -> PythonFrame {
        let instruction = if config.bytes == 0 {
            self.half(config.instruction) as i32
        } else {
            let first = code.wrapping_add(config.bytes.into());
            let index = (self.word(config.instruction).wrapping_sub(first) as i64) >> 1;
            if index == i64::from(index as i32) { index as i32 } else { NOWHERE }
        };
        // SAFETY: as above.
        let generation = unsafe { (*self.thread).python.generation };
        let identity = code.wrapping_add(config.identity.into());
        let checksum = python_code::checksum(self.thread, codes, identity, generation);
        PythonFrame { code, checksum, instruction }
    }

    #[inline(always)]
    unsafe fn at<T>(&self, offset: u64) -> *const T {
        // SAFETY: the caller has masked the offset.
        unsafe { (&raw const (*self.thread).window).cast::<u8>().add(offset as usize).cast() }
    }
}

/// Copies to the window.
#[inline(always)]
fn copy(thread: *mut ThreadState, from: u64, bytes: u64) -> bool {
    let bytes = bounded::<{ 2 * COPIED - 1 }>(bytes);
    // SAFETY: the window is as large; the helper checks the address that it reads from.
    unsafe {
        let window = (&raw mut (*thread).window).cast::<c_void>();
        bpf_probe_read_user(window, bytes as u32, from as *const c_void) == 0
    }
}

/// An instruction that is none of the code object's.
const NOWHERE: i32 = -1;

/// Keeps a frame.
#[inline(always)]
pub fn set_frame(thread: *mut ThreadState, number: u64, frame: PythonFrame) {
    let number = bounded::<{ MAX_PYTHON_FRAMES as u64 - 1 }>(number) as usize;
    // SAFETY: the index is masked.
    unsafe {
        let frames = (&raw mut (*thread).python_stack.frames).cast::<PythonFrame>();
        frames.add(number).write_volatile(frame);
    }
}

/// Keeps the end of a run.
#[inline(always)]
pub fn set_run(thread: *mut ThreadState, number: u64, frames: u32, anchor: u64) {
    let to_run = bounded::<{ MAX_PYTHON_RUNS as u64 - 1 }>(number) as usize;
    let to_anchor = bounded::<{ MAX_PYTHON_RUNS as u64 - 1 }>(number) as usize;
    // SAFETY: the indexes are masked.
    unsafe {
        let event = &raw mut (*thread).python_stack;
        (&raw mut (*event).runs).cast::<u32>().add(to_run).write_volatile(frames);
        (&raw mut (*event).anchors).cast::<u64>().add(to_anchor).write_volatile(anchor);
    }
}

/// The anchor of a run.
#[inline(always)]
pub fn anchor(thread: *const ThreadState, number: u64) -> u64 {
    let number = bounded::<{ MAX_PYTHON_RUNS as u64 - 1 }>(number) as usize;
    // SAFETY: the index is masked.
    unsafe { (&raw const (*thread).python_stack.anchors).cast::<u64>().add(number).read_volatile() }
}

/// For the verifier, which needs the mask right before the use, where LLVM would drop it.
#[inline(always)]
pub fn bounded<const MASK: u64>(mut value: u64) -> u64 {
    // SAFETY: changes nothing but the operand.
    unsafe { asm!("{0} &= {1}", inout(reg) value, const MASK) };
    value
}
