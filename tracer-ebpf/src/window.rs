//! The target's stack, read in one piece: a call of the kernel's costs more than the bytes that it copies.

use core::arch::asm;

use aya_ebpf::{cty::c_void, helpers::generated::bpf_probe_read_user};
use tracer_common::{ThreadState, Walk, limits::WINDOW_WORDS};

const WORD: u64 = size_of::<u64>() as u64;
const PAGE: u64 = 4096;

/// The word at `address` in the target; `None` where it can't be read. Outside of the window that means to copy on
/// from there: frames lie one above the other, so what is read next is most likely in the copy.
#[inline(always)]
pub fn load(thread: *mut ThreadState, address: u64) -> Option<u64> {
    // SAFETY: `thread` points to a map value that belongs to this thread alone.
    let walk = unsafe { &mut (*thread).walk };
    let mut offset = address.wrapping_sub(walk.base);
    if offset % WORD != 0 || offset / WORD >= walk.end {
        slide(thread, address)?;
        offset = 0;
    }
    Some(word(thread, offset / WORD))
}

/// The word of the window with this number.
#[inline(always)]
pub fn word(thread: *const ThreadState, mut number: u64) -> u64 {
    const MASK: u64 = WINDOW_WORDS as u64 - 1;
    // LLVM knows that the index is in range and would drop the mask that tells the verifier.
    // SAFETY: changes nothing but the operand; then, the index is masked.
    unsafe {
        asm!("{0} &= {1}", inout(reg) number, const MASK);
        (&raw const (*thread).window).cast::<u64>().add(number as usize).read_volatile()
    }
}

/// Copies on from `address`; as far as the page's end where the whole window can't be read.
#[inline(always)]
pub fn slide(thread: *mut ThreadState, address: u64) -> Option<()> {
    // SAFETY: as above.
    let walk = unsafe { &mut (*thread).walk };
    let mut words = WINDOW_WORDS as u64;
    if !copy(thread, address, words) {
        words = (PAGE - address % PAGE) / WORD;
        if words == 0 || words >= WINDOW_WORDS as u64 || !copy(thread, address, words) {
            walk.end = 0;
            return None;
        }
    }
    set(walk, address, words);
    Some(())
}

#[inline(always)]
fn set(walk: &mut Walk, address: u64, words: u64) {
    walk.base = address;
    walk.end = words;
}

/// Copies up to [`WINDOW_WORDS`] words to the window's beginning.
#[inline(always)]
pub fn copy(thread: *mut ThreadState, from: u64, words: u64) -> bool {
    let mut bytes = words * WORD;
    if words >= WINDOW_WORDS as u64 {
        bytes = WINDOW_WORDS as u64 * WORD;
    } else {
        const MASK: u64 = (WINDOW_WORDS as u64 * WORD) - 1;
        // SAFETY: changes nothing but the operand.
        unsafe { asm!("{0} &= {1}", inout(reg) bytes, const MASK) };
    }
    // SAFETY: the window has WINDOW_WORDS words; the helper checks the address that it reads from.
    unsafe {
        let window = (&raw mut (*thread).window).cast::<c_void>();
        bpf_probe_read_user(window, bytes as u32, from as *const c_void) == 0
    }
}
