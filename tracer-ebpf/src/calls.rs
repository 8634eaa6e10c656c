//! Reading a call's arguments and result out of the registers.

use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use tracer_common::CallKind;

/// The `n`th integer argument, from 0. Sites are chosen so that no argument register is overwritten yet.
#[inline(always)]
pub fn argument(ctx: &ProbeContext, n: usize) -> u64 {
    ctx.arg::<u64>(n).unwrap_or(0)
}

/// `realloc` of null is `malloc`.
#[inline(always)]
pub fn reallocation(old: u64) -> CallKind {
    if old == 0 { CallKind::Allocate } else { CallKind::Reallocate }
}

/// Bytes of `count` elements; more than there can be where the product does not fit. By halves: the target has no
/// multiplication with 128 bits, to which the compiler turns a check by division.
#[inline(always)]
pub fn product(count: u64, size: u64) -> u64 {
    const LOW: u64 = u32::MAX as u64;
    let (count_high, size_high) = (count >> 32, size >> 32);
    if count_high != 0 && size_high != 0 {
        return u64::MAX;
    }
    let middle = count_high * (size & LOW) + (count & LOW) * size_high;
    if middle > LOW {
        return u64::MAX;
    }
    let low = (count & LOW) * (size & LOW);
    let product = (middle << 32).wrapping_add(low);
    if product < low { u64::MAX } else { product }
}

/// The stack pointer at the function's entry: where its return address lies.
#[inline(always)]
pub fn entry_sp(ctx: &ProbeContext) -> u64 {
    // SAFETY: the context is the probe's register set, valid while the program runs.
    unsafe { (*ctx.regs).rsp }
}

/// What [`entry_sp`] was when the function that now returned was entered: `ret` has popped 8 bytes.
#[inline(always)]
pub fn returned_sp(ctx: &RetProbeContext) -> u64 {
    // SAFETY: as above.
    unsafe { (*ctx.regs).rsp }.wrapping_sub(8)
}

/// The result.
#[inline(always)]
pub fn result(ctx: &RetProbeContext) -> u64 {
    ctx.ret::<u64>()
}
