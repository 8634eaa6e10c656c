//! The frame-pointer walk of `bpf_get_stack`, at a third of its price: for the stack of the block's caller.
//!
//! The kernel reads two words a frame, each by itself, and goes on until a read faults: a program's outermost
//! function has whatever it likes in `rbp`, mostly a small number, and the fault that ends the walk there costs
//! more than the walk. Here the top of the stack is copied once, frames are read from the copy, and a frame
//! pointer into the page that is never mapped ends the walk. The frames are the same.

use core::arch::asm;

use aya_ebpf::{cty::c_void, helpers::generated::bpf_probe_read_user};
use tracer_common::{ThreadState, limits::WINDOW_WORDS};

use crate::control;

const WORD: u64 = size_of::<u64>() as u64;
/// A frame: the caller's frame pointer and, above it, the return address.
const FRAME: u64 = 2 * WORD;
/// The most that lies between two frames of a stack that is copied on, in bytes. Further away lies another
/// stack, or nothing.
const MAX_STEP: u64 = 1 << 16;
/// Nothing is ever mapped below.
const LOWEST: u64 = 4096;
/// What `access_ok` and thus the kernel's walk allows.
const HIGHEST: u64 = (1 << 63) - FRAME;

/// Instead of a count: a function has a return probe.
const UNKNOWN: u32 = u32::MAX;

/// Walks from the frame that `fp` points to, with `sp` below it, and writes up to `max` return addresses to
/// `frames`. Gives their number; `None` where only the kernel can tell: one of the functions has a return
/// probe, and the kernel knows where it was called from.
#[inline(always)]
#[expect(
    clippy::manual_range_contains,
    clippy::manual_is_multiple_of,
    reason = "as they stand the verifier is done after 48 000 instructions, not after 217 000"
)]
pub fn walk(
    thread: *mut ThreadState,
    sp: u64,
    mut fp: u64,
    frames: *mut u64,
    max: usize,
) -> Option<usize> {
    // SAFETY: `thread` points to a map value that belongs to this thread alone.
    let window = unsafe { (&raw mut (*thread).window).cast::<u64>() };
    // The count is kept in memory, for the same reason as [`hide`].
    // SAFETY: as above.
    let count = unsafe { &raw mut (*thread).stack.len };
    let trampoline = control::trampoline();
    let mut base = sp;
    // Frames that begin below this word of the window lie wholly within it.
    let end = if copy(window, base, WINDOW_WORDS) { WINDOW_WORDS as u64 - 1 } else { 0 };
    let mut end = hide(end, thread);
    for len in 0..=max {
        // SAFETY: as above.
        unsafe { count.write_volatile(len as u32) };
        if len == max || fp < LOWEST || fp > HIGHEST {
            break;
        }
        let mut offset = fp.wrapping_sub(base);
        if offset % WORD != 0 || offset / WORD >= end {
            let words = if offset < MAX_STEP && copy(window, fp, WINDOW_WORDS) {
                WINDOW_WORDS as u64 - 1
            } else if copy(window, fp, 2) {
                1
            } else {
                break;
            };
            end = hide(words, thread);
            base = fp;
            offset = 0;
        }
        let (next, caller) = frame(window, offset);
        if caller == trampoline && trampoline != 0 {
            // SAFETY: as above.
            unsafe { count.write_volatile(UNKNOWN) };
            break;
        }
        // SAFETY: callers have room for `max` addresses.
        unsafe { frames.add(len).write(caller) };
        fp = next;
    }
    // SAFETY: as above.
    match unsafe { count.read_volatile() } {
        UNKNOWN => None,
        count => Some(count as usize),
    }
}

/// The same value, but unknown to the verifier: it would go through all that follows once for each constant.
#[inline(always)]
pub fn hide(mut value: u64, thread: *const ThreadState) -> u64 {
    // SAFETY: `thread` points to a map value; this field of it is always 0, which the verifier can't know.
    let zero = u64::from(unsafe { (&raw const (*thread).stack._pad).read_volatile() });
    // SAFETY: changes nothing but the operand.
    unsafe { asm!("{0} ^= {1}", inout(reg) value, in(reg) zero) };
    value
}

/// Reads a frame out of the window.
#[inline(always)]
fn frame(window: *mut u64, offset: u64) -> (u64, u64) {
    const MASK: u64 = WINDOW_WORDS as u64 - 1;
    let mut index = offset / WORD;
    // LLVM knows that the index is in range and would drop the mask that tells the verifier.
    // SAFETY: changes nothing but the operand.
    unsafe { asm!("{0} &= {1}", inout(reg) index, const MASK) };
    // SAFETY: the window has a word more than the mask lets through.
    unsafe {
        let frame = window.add(index as usize);
        (frame.read_volatile(), frame.add(1).read_volatile())
    }
}

#[inline(always)]
fn copy(window: *mut u64, from: u64, words: usize) -> bool {
    let bytes = words * WORD as usize;
    // SAFETY: the window has `WINDOW_WORDS + 1` words; the helper checks the address that it reads from.
    unsafe { bpf_probe_read_user(window.cast(), bytes as u32, from as *const c_void) == 0 }
}
