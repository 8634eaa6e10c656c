//! Reading a call's arguments and result out of the registers.

use aya_ebpf::{
    bindings::pt_regs,
    helpers::bpf_probe_read_user,
    programs::{ProbeContext, RetProbeContext},
};
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

/// A call that returned: its result, and where in its caller the program goes on. Or a place within a function.
#[derive(Clone, Copy)]
pub struct Returned {
    /// The probe's registers; those that calls preserve have the caller's values.
    pub regs: *mut pt_regs,
    /// `rax`.
    pub result: u64,
    /// The return address.
    pub ip: u64,
    /// The caller's stack pointer.
    pub sp: u64,
}

impl Returned {
    /// At a return probe: the kernel has done the `ret` already.
    #[inline(always)]
    pub fn after_ret(ctx: &RetProbeContext) -> Self {
        // SAFETY: the context is the probe's register set.
        let (ip, sp) = unsafe { ((*ctx.regs).rip, (*ctx.regs).rsp) };
        Self { regs: ctx.regs, result: ctx.ret::<u64>(), ip, sp }
    }

    /// At an entry probe on a `ret` instruction.
    #[inline(always)]
    pub fn at_ret(ctx: &ProbeContext) -> Self {
        let sp = entry_sp(ctx);
        // SAFETY: reads the target's memory through the helper, which checks the address; then the set of
        // registers, as above.
        let (ip, result) = unsafe { (bpf_probe_read_user(sp as *const u64), (*ctx.regs).rax) };
        Self { regs: ctx.regs, result, ip: ip.unwrap_or(0), sp: sp.wrapping_add(8) }
    }

    /// At a probe within a function, which is a part of the stack then. Of a return address, the byte before is looked up:
    /// that is the probed instruction's first.
    #[inline(always)]
    pub fn within(ctx: &ProbeContext) -> Self {
        // SAFETY: as above.
        let (ip, sp) = unsafe { ((*ctx.regs).rip, (*ctx.regs).rsp) };
        Self { regs: ctx.regs, result: 0, ip: ip.wrapping_add(1), sp }
    }

    /// What [`entry_sp`] was when the function that now returns was entered.
    #[inline(always)]
    pub fn entry_sp(&self) -> u64 {
        self.sp.wrapping_sub(8)
    }
}
