//! Stacks that were walked before, by the place of the call.
//!
//! A walk is a function of the registers that it begins with, of the code map, of the places of Python's
//! frames, and of the words of the stack that it reads. If all of these are what they were, so is the result: to see that takes one copy of the stack as far as
//! the outermost of these words, and a comparison each. Which thread it was does not matter.

use core::arch::asm;

use aya_ebpf::{macros::map, maps::Array};
use tracer_common::{
    Memo, StackId, ThreadState, UnwindStatus,
    limits::{MEMO_ENTRIES, MEMO_SLOTS, WINDOW_WORDS},
};

use crate::{atomic, tables, window};

/// One for each number that [`index`] gives, and [`NONE`].
#[map]
static MEMOS: Array<Memo> = Array::with_max_entries(MEMO_ENTRIES + 1, 0);

/// The stack at (`ip`, `sp`, `bp`), if it is remembered and the same as then. Uses the thread's window.
#[inline(always)]
pub fn recall(
    thread: *mut ThreadState,
    ip: u64,
    sp: u64,
    bp: u64,
    generation: u32,
) -> Option<StackId> {
    let memo = MEMOS.get_ptr(index(ip, sp))?;
    // SAFETY: points to an element of the map; another thread may write it, which the sequence tells.
    unsafe {
        let sequence = (&raw const (*memo).sequence).read_volatile();
        let same = sequence & 1 == 0
            && (&raw const (*memo).ip).read_volatile() == ip
            && (&raw const (*memo).sp).read_volatile() == sp
            && (&raw const (*memo).anchors).read_volatile() == (*thread).python.anchors
            && (&raw const (*memo).generation).read_volatile() == generation;
        if !same {
            return None;
        }
        let bp_fits = (&raw const (*memo).needs_bp).read_volatile() == 0
            || (&raw const (*memo).bp).read_volatile() == bp;
        let len = (&raw const (*memo).len).read_volatile() as usize;
        let words = u64::from((&raw const (*memo).words).read_volatile());
        let stack = (&raw const (*memo).stack).read_volatile();
        if !bp_fits || len == 0 || words > WINDOW_WORDS as u64 || !window::copy(thread, sp, words) {
            return None;
        }
        let values = (&raw const (*memo).values).cast::<u64>();
        let offsets = (&raw const (*memo).offsets).cast::<u16>();
        let mut difference = 0;
        for slot in 0..MEMO_SLOTS {
            if slot >= len {
                break;
            }
            let offset = u64::from(offsets.add(slot).read_volatile());
            difference |= window::word(thread, offset) ^ values.add(slot).read_volatile();
        }
        let unchanged = (&raw const (*memo).sequence).read_volatile() == sequence;
        (difference == 0 && unchanged).then_some(stack)
    }
}

/// The memo that is never recalled: for walks that find theirs taken.
pub const NONE: u32 = MEMO_ENTRIES;

/// The number of a memo to note down what a walk depends on, which nobody else writes until [`publish`]. Where that
/// for (`ip`, `sp`) is being written, [`NONE`].
#[inline(always)]
pub fn claim(ip: u64, sp: u64) -> u32 {
    let number = index(ip, sp);
    let Some(memo) = numbered(number) else { return NONE };
    // SAFETY: points to an element of the map.
    let sequence = unsafe { (&raw mut (*memo).sequence).read_volatile() };
    // SAFETY: as above.
    let sequence_at = unsafe { &raw mut (*memo).sequence };
    if sequence & 1 == 0 && atomic::replace(sequence_at, sequence, sequence + 1) {
        number
    } else {
        NONE
    }
}

/// The memo with a number.
#[inline(always)]
pub fn numbered(number: u32) -> Option<*mut Memo> {
    MEMOS.get_ptr_mut(number)
}

/// Notes that the walk depends on the word at `address`, which is `value`.
#[inline(always)]
pub fn note(memo: *mut Memo, thread: *mut ThreadState, address: u64, value: u64) {
    // SAFETY: `thread` points to a map value that belongs to this thread alone.
    let walk = unsafe { &mut (*thread).walk };
    let offset = address.wrapping_sub(walk.first_sp) / size_of::<u64>() as u64;
    let slot = u64::from(walk.slots);
    if offset >= WINDOW_WORDS as u64 || slot >= MEMO_SLOTS as u64 {
        walk.slots = TOO_MANY;
        return;
    }
    // SAFETY: the index is masked.
    unsafe {
        let values = (&raw mut (*memo).values).cast::<u64>();
        let offsets = (&raw mut (*memo).offsets).cast::<u16>();
        values.add(bounded(slot)).write_volatile(value);
        offsets.add(bounded(slot)).write_volatile(offset as u16);
    }
    walk.slots = slot as u32 + 1;
    if offset as u32 >= walk.words {
        walk.words = offset as u32 + 1;
    }
}

/// A number of slots that says that there were more than fit.
const TOO_MANY: u32 = MEMO_SLOTS as u32 + 1;

/// For the verifier, which does not see the comparison through a second copy of the value.
#[inline(always)]
fn bounded(mut slot: u64) -> usize {
    const MASK: u64 = MEMO_SLOTS as u64 - 1;
    // SAFETY: changes nothing but the operand.
    unsafe { asm!("{0} &= {1}", inout(reg) slot, const MASK) };
    slot as usize
}

/// Makes the result of the thread's walk known, where it depends on nothing else than what was noted.
#[inline(always)]
pub fn publish(thread: *const ThreadState, stack: StackId) {
    // SAFETY: `thread` points to a map value that belongs to this thread alone.
    let walk = unsafe { &(*thread).walk };
    if walk.memo == NONE {
        return;
    }
    let (Some(memo), Some(code)) = (numbered(walk.memo), tables::numbered_code(walk.code)) else {
        return;
    };
    let lasting = walk.status == UnwindStatus::Complete as u32
        || walk.status == UnwindStatus::FramePointers as u32
        || walk.status == UnwindStatus::NoRule as u32
        || walk.status == UnwindStatus::Depth as u32;
    let fits = lasting && walk.outdated == 0 && walk.slots <= MEMO_SLOTS as u32;
    // SAFETY: points to an element of the map, which this walk claimed.
    unsafe {
        (*memo).ip = walk.first_ip;
        (*memo).sp = walk.first_sp;
        (*memo).bp = walk.first_bp;
        (*memo).stack = stack;
        (*memo).anchors = (*thread).python.anchors;
        (*memo).generation = (*code).generation;
        (*memo).words = walk.words;
        (*memo).needs_bp = walk.needs_bp;
        (*memo).len = if fits { walk.slots } else { 0 };
        let sequence = (&raw mut (*memo).sequence).read_volatile();
        (&raw mut (*memo).sequence).write_volatile(sequence.wrapping_add(1));
    }
}

#[inline(always)]
fn index(ip: u64, sp: u64) -> u32 {
    let mixed = (ip ^ sp.rotate_left(24)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as u32 & (MEMO_ENTRIES - 1)
}
