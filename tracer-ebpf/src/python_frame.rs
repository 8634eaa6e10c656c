//! One frame of Python's: reading it and its code object, and keeping it. Offsets are data, so each is masked.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use tracer_common::{
    PYTHON_CODE_WORDS, PythonConfig, PythonFrame, ThreadState,
    limits::{MAX_PYTHON_FRAMES, MAX_PYTHON_RUNS},
    python_checksum,
};

/// Bytes of a frame in an event.
pub const FRAME_BYTES: usize = size_of::<PythonFrame>();
/// Bytes of a frame that can be looked at. A power of two.
const MOST_BYTES: u64 = 128;
/// Where in the window the words of the code object go: behind the frame.
const IDENTITY: usize = MOST_BYTES as usize / size_of::<u64>();

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
    needed
}

/// The thread's window, in which the frame is.
pub struct Memory {
    pub thread: *mut ThreadState,
}

impl Memory {
    /// Reads a frame.
    #[inline(always)]
    pub fn read_frame(&self, address: u64, bytes: u32) -> bool {
        let bytes = bounded::<{ MOST_BYTES - 1 }>(bytes.into());
        // SAFETY: the window is larger; the helper checks the address that it reads from.
        unsafe {
            let window = (&raw mut (*self.thread).window).cast::<c_void>();
            bpf_probe_read_user(window, bytes as u32, address as *const c_void) == 0
        }
    }

    /// The word at an offset of the frame.
    #[inline(always)]
    pub fn word(&self, offset: u32) -> u64 {
        let offset = bounded::<{ MOST_BYTES - 8 }>(offset.into());
        // SAFETY: the offset is masked, and aligned with it.
        unsafe { self.at::<u64>(offset).read_volatile() }
    }

    /// Half of a word.
    #[inline(always)]
    fn half(&self, offset: u32) -> u32 {
        let offset = bounded::<{ MOST_BYTES - 4 }>(offset.into());
        // SAFETY: as above.
        unsafe { self.at::<u32>(offset).read_volatile() }
    }

    /// The byte at an offset of the frame.
    #[inline(always)]
    pub fn byte(&self, offset: u32) -> u8 {
        let offset = bounded::<{ MOST_BYTES - 1 }>(offset.into());
        // SAFETY: as above.
        unsafe { self.at::<u8>(offset).read_volatile() }
    }

    /// The frame as it is told, of this code object.
    #[inline(always)]
    pub fn frame(&self, code: u64, config: &PythonConfig) -> PythonFrame {
        let instruction = if config.bytes == 0 {
            self.half(config.instruction) as i32
        } else {
            let first = code.wrapping_add(config.bytes.into());
            let index = (self.word(config.instruction).wrapping_sub(first) as i64) >> 1;
            if index == i64::from(index as i32) { index as i32 } else { NOWHERE }
        };
        let checksum = self.checksum(code.wrapping_add(config.identity.into()));
        PythonFrame { code, checksum, instruction }
    }

    #[inline(always)]
    fn checksum(&self, address: u64) -> u32 {
        const BYTES: u32 = (PYTHON_CODE_WORDS * size_of::<u64>()) as u32;
        // SAFETY: the window is larger; the helper checks the address that it reads from.
        unsafe {
            let words = (&raw mut (*self.thread).window).cast::<u64>().add(IDENTITY);
            if bpf_probe_read_user(words.cast(), BYTES, address as *const c_void) != 0 {
                return 0;
            }
            python_checksum(&*words.cast::<[u64; PYTHON_CODE_WORDS]>())
        }
    }

    #[inline(always)]
    unsafe fn at<T>(&self, offset: u64) -> *const T {
        // SAFETY: the caller has masked the offset.
        unsafe { (&raw const (*self.thread).window).cast::<u8>().add(offset as usize).cast() }
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
    unsafe {
        (&raw const (*thread).python_stack.anchors).cast::<u64>().add(number).read_volatile()
    }
}

/// For the verifier, which needs the mask right before the use, where LLVM would drop it.
#[inline(always)]
pub fn bounded<const MASK: u64>(mut value: u64) -> u64 {
    // SAFETY: changes nothing but the operand.
    unsafe { asm!("{0} &= {1}", inout(reg) value, const MASK) };
    value
}
