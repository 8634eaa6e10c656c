//! One frame of Python's: reading it and its code object, and keeping it. Offsets are data, so each is masked.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use tracer_common::{
    PYTHON_CODE_WORDS, PythonConfig, PythonFrame, RuleCache, ThreadState,
    limits::{MAX_PYTHON_FRAMES, MAX_PYTHON_RUNS, MAX_PYTHON_STATE, WINDOW_WORDS},
};

use crate::python_code;

/// Bytes of a frame in an event.
pub const FRAME_BYTES: usize = size_of::<PythonFrame>();
/// Bytes of the thread's stack of frames that are copied at a time. A power of two.
const COPIED: u64 = 2048;
/// Where in the window the words of a code object go: behind that.
pub const CODE_WORDS: usize = COPIED as usize / size_of::<u64>() + 16;
/// Where in the window a structure goes that lies by itself: behind these.
const ASIDE_WORDS: usize = CODE_WORDS + PYTHON_CODE_WORDS;
const WINDOW: u64 = (WINDOW_WORDS * size_of::<u64>()) as u64;
const PAGE: u64 = 4096;
/// Bytes that an interpreter's stack has at least, in one piece.
const CHUNK: u64 = 16 << 10;
/// No number of bytes.
const NONE: u64 = u64::MAX;
/// What is so little above the thread's stack pointer is on its C stack.
const C_STACK: u64 = 8 << 20;

const _: () = assert!(ASIDE_WORDS * size_of::<u64>() + 2 * MAX_PYTHON_STATE <= WINDOW as usize);

/// How many bytes of a `PyThreadState` have what is asked for.
#[inline(always)]
pub fn state_bytes(config: &PythonConfig) -> u64 {
    let mut last = config.frame;
    for offset in [config.cframe, config.thread_id] {
        if offset > last {
            last = offset;
        }
    }
    let bytes = u64::from(last) + size_of::<u64>() as u64;
    if bytes < MAX_PYTHON_STATE as u64 { bytes } else { MAX_PYTHON_STATE as u64 }
}

/// How many bytes of a frame have what is asked for. No more are read: it may be the last thing in its mapping.
#[inline(always)]
pub fn frame_bytes(config: &PythonConfig) -> u32 {
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

/// A frame, or another structure, in the thread's window.
pub struct Structure {
    thread: *mut ThreadState,
    /// Where in the window it begins, in bytes.
    at: u64,
}

impl Structure {
    /// One that lies by itself, of `bytes`, of which there are at most [`MAX_PYTHON_STATE`]; `None` where it can't be read. What the
    /// window has of frames stays there.
    #[inline(always)]
    pub fn alone(thread: *mut ThreadState, address: u64, bytes: u64) -> Option<Self> {
        let there = copy::<ASIDE_WORDS>(thread, address, bytes);
        there.then_some(Self { thread, at: (ASIDE_WORDS * size_of::<u64>()) as u64 })
    }

    /// The frame at `address`; `None` where it can't be read. If it is not in the window, what lies below it is copied with it,
    /// for its callers are mostly there, unless it is one that lies `alone`, as those on the C stack do.
    #[inline(always)]
    pub fn frame_at(thread: *mut ThreadState, address: u64, alone: bool) -> Option<Self> {
        // SAFETY: `thread` points to a map value that belongs to this thread alone.
        let python = unsafe { &mut (*thread).python };
        let needed = u64::from(python.frame_bytes);
        if alone || address.wrapping_sub(python.sp) < C_STACK {
            return Self::alone(thread, address, needed);
        }
        let at = address.wrapping_sub(python.base);
        if at < COPIED && at + needed <= u64::from(python.valid) {
            python.lowest = address;
            return Some(Self { thread, at });
        }
        // What the last walk went through is there, most likely. Else not beyond the page: the interpreter's stack may begin
        // there, and a fault costs as much as a walk.
        let below = address.wrapping_sub(python.floor);
        let (below, fallback) =
            if below < CHUNK { (below, address % PAGE) } else { (address % PAGE, NONE) };
        let there = Self::frames_below(thread, address, below)
            || fallback != NONE && Self::frames_below(thread, address, fallback);
        if !there {
            python.valid = 0;
            return None;
        }
        python.lowest = address;
        Some(Self { thread, at: address.wrapping_sub(python.base) })
    }

    /// Copies the frame at `address` to the window, with what lies up to so many bytes `below` it.
    #[inline(always)]
    fn frames_below(thread: *mut ThreadState, address: u64, below: u64) -> bool {
        // SAFETY: as above.
        let python = unsafe { &mut (*thread).python };
        let needed = u64::from(python.frame_bytes);
        let bytes = if below + needed < COPIED { below + needed } else { COPIED };
        let base = address.wrapping_add(needed).wrapping_sub(bytes);
        (python.base, python.valid) = (base, bytes as u32);
        copy::<0>(thread, base, bytes)
    }

    /// The word at an offset of the frame.
    #[inline(always)]
    pub fn word(&self, offset: u32) -> u64 {
        let offset = bounded::<{ WINDOW - 8 }>(self.at + u64::from(offset));
        // SAFETY: the offset is masked, and aligned with it.
        unsafe { self.at::<u64>(offset).read_volatile() }
    }

    /// Half of a word.
    #[inline(always)]
    fn half(&self, offset: u32) -> u32 {
        let offset = bounded::<{ WINDOW - 4 }>(self.at + u64::from(offset));
        // SAFETY: as above.
        unsafe { self.at::<u32>(offset).read_volatile() }
    }

    /// The byte at an offset of the frame.
    #[inline(always)]
    pub fn byte(&self, offset: u32) -> u8 {
        let offset = bounded::<{ WINDOW - 1 }>(self.at + u64::from(offset));
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

/// Copies up to [`COPIED`] bytes to the window, from its word `TO` on.
#[inline(always)]
fn copy<const TO: usize>(thread: *mut ThreadState, from: u64, bytes: u64) -> bool {
    // A constant once this is compiled.
    let bytes = if TO == 0 {
        bounded::<{ 2 * COPIED - 1 }>(bytes)
    } else {
        bounded::<{ 2 * MAX_PYTHON_STATE as u64 - 1 }>(bytes)
    };
    // SAFETY: the window has room for as many from there on; the helper checks the address that it reads from.
    unsafe {
        let window = (&raw mut (*thread).window).cast::<u64>().add(TO).cast::<c_void>();
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
