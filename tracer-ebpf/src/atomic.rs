//! Atomic operations on map values. `core::sync::atomic` has no read-modify-write on this target.
//!
//! A relaxed addition compiles to the instruction that gives no result, even where the result is used: LLVM 22
//! then takes the addend for it. So additions whose result matters are sequentially consistent.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd};

const RELAXED: AtomicOrdering = AtomicOrdering::Relaxed;
const FETCHING: AtomicOrdering = AtomicOrdering::SeqCst;

/// Adds to a counter; wraps.
#[inline(always)]
pub fn add(counter: *mut u64, amount: u64) {
    // SAFETY: callers pass a field of a map value, which outlives the program's run.
    unsafe { atomic_xadd::<u64, u64, RELAXED>(counter, amount) };
}

/// Adds to a signed total and gives the new one.
#[inline(always)]
pub fn add_signed(total: *mut i64, amount: i64) -> i64 {
    // SAFETY: as above.
    unsafe { atomic_xadd::<i64, i64, FETCHING>(total, amount) }.wrapping_add(amount)
}

/// Adds 1 and gives the value from before.
#[inline(always)]
pub fn next(counter: *mut u64) -> u64 {
    // SAFETY: as above.
    unsafe { atomic_xadd::<u64, u64, FETCHING>(counter, 1) }
}

/// Adds 1 to a 32-bit number and gives the value from before.
#[inline(always)]
pub fn next_u32(counter: *mut u32) -> u32 {
    // SAFETY: as above.
    unsafe { atomic_xadd::<u32, u32, FETCHING>(counter, 1) }
}

/// Writes `new` where `old` is; whether it was.
#[inline(always)]
pub fn replace(word: *mut u64, old: u64, new: u64) -> bool {
    // SAFETY: as above.
    unsafe { atomic_cxchg::<u64, FETCHING, FETCHING>(word, old, new).1 }
}

/// Raises `highest` to `value`. Gives up after four races lost in a row: each of them was won by another
/// thread that raised it, so the loss is at most the difference between concurrent totals.
#[inline(always)]
pub fn raise(highest: *mut i64, value: i64) {
    // SAFETY: as above.
    let mut seen = unsafe { highest.read_volatile() };
    for _ in 0..4 {
        if value <= seen {
            return;
        }
        // SAFETY: as above.
        let (now, done) = unsafe { atomic_cxchg::<i64, FETCHING, FETCHING>(highest, seen, value) };
        if done {
            return;
        }
        seen = now;
    }
}
