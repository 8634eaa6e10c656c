//! Who takes pools of Python's own allocator: a hint of the lines whose objects fill them, at a small part of what it costs to
//! count each object.

use core::arch::asm;

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, pt_regs},
    helpers::bpf_ktime_get_ns,
    macros::map,
    maps::{Array, HashMap},
    programs::ProbeContext,
};
use tracer_common::{
    POOL_DUE, POOL_REGISTER, POOL_TAKEN, PYTHON_POOL_BYTES, PoolTaken, StackId, TallyKind,
    limits::{MAX_PYTHON_POOLS, POOL_STACK_BURST, POOL_STACKS_PER_SECOND},
};

use crate::{
    atomic,
    calls::Returned,
    control,
    epochs::{self, Now},
    in_flight,
    stack::{self, Source},
    tally,
};

/// Between two stacks, on an average.
const INTERVAL_NS: u64 = 1_000_000_000 / POOL_STACKS_PER_SECOND as u64;

/// How far ahead of that rate they may be.
const AHEAD_NS: u64 = POOL_STACK_BURST as u64 * INTERVAL_NS;

/// By a pool's address. One that is taken again has its entry written anew; user space, which reads which pools are in use,
/// passes over the others.
#[map]
static PYTHON_POOLS: HashMap<u64, PoolTaken> =
    HashMap::with_max_entries(MAX_PYTHON_POOLS, BPF_F_NO_PREALLOC);

#[map]
static POOL_WORDS: Array<u64> = Array::with_max_entries(tracer_common::POOL_WORDS, 0);

/// A pool is taken.
#[inline(always)]
pub fn taken(ctx: &ProbeContext) {
    if !control::active() {
        return;
    }
    let Some(pool) = pool(ctx) else {
        tally::count(TallyKind::PoolLost);
        return;
    };
    if control::paused() {
        let _ = PYTHON_POOLS.remove(pool); // who took it before has given it back
        return;
    }
    if let Some(taken) = POOL_WORDS.get_ptr_mut(POOL_TAKEN) {
        atomic::add(taken, 1);
    }
    let Some(now) = epochs::now() else { return };
    let stack = taker(ctx, now);
    let taken = PoolTaken { stack, epoch: now.epoch, space: now.space };
    if PYTHON_POOLS.insert(pool, taken, 0).is_err() {
        tally::count(TallyKind::PoolLost);
    }
}

/// Whose it is. Unknown where that would take too much of the target's time, or of the room that blocks' stacks need.
#[inline(always)]
fn taker(ctx: &ProbeContext, now: Now) -> StackId {
    if stack::is_half_full() || !is_due() {
        return StackId::UNKNOWN;
    }
    let Some(thread) = in_flight::this_thread() else { return StackId::UNKNOWN };
    let stack = stack::capture_as_hint(&Returned::within(ctx), now, thread);
    // One that finds no room is sent again with its next event.
    stack::send(thread, stack, now.space, Source::Walk);
    stack
}

/// Reads a register. The context may only be read at places that the verifier knows, and the compiler would make one read at a
/// computed place out of many.
macro_rules! register {
    ($ctx:ident, $name:ident) => {{
        let value: u64;
        // SAFETY: the context is the probe's register set.
        unsafe {
            asm!(
                "{value} = *(u64 *)({regs} + {at})",
                value = out(reg) value,
                regs = in(reg) $ctx.regs,
                at = const core::mem::offset_of!(pt_regs, $name),
            );
        }
        value
    }};
}

/// The pool's address; `None` for what can't be one.
#[inline(always)]
fn pool(ctx: &ProbeContext) -> Option<u64> {
    // SAFETY: points to an element of the map.
    let register = unsafe { POOL_WORDS.get_ptr(POOL_REGISTER)?.read_volatile() };
    let pool = match register {
        0 => register!(ctx, rax),
        1 => register!(ctx, rcx),
        2 => register!(ctx, rdx),
        3 => register!(ctx, rbx),
        // 4 is `rsp`, which has no pool.
        5 => register!(ctx, rbp),
        6 => register!(ctx, rsi),
        7 => register!(ctx, rdi),
        8 => register!(ctx, r8),
        9 => register!(ctx, r9),
        10 => register!(ctx, r10),
        11 => register!(ctx, r11),
        12 => register!(ctx, r12),
        13 => register!(ctx, r13),
        14 => register!(ctx, r14),
        15 => register!(ctx, r15),
        _ => 0,
    };
    (pool != 0 && pool & (PYTHON_POOL_BYTES - 1) == 0).then_some(pool)
}

/// Whether there is time for a stack. A program that takes and gives back pools without end has one of them looked at now and
/// then; one that keeps what it takes, mostly each. Two threads that ask at once may both be answered.
#[inline(always)]
fn is_due() -> bool {
    let Some(due) = POOL_WORDS.get_ptr_mut(POOL_DUE) else { return false };
    // SAFETY: calls a helper without arguments; then, points to an element of the map.
    unsafe {
        let now = bpf_ktime_get_ns();
        let from = due.read_volatile().max(now);
        let is_due = from - now <= AHEAD_NS;
        if is_due {
            due.write_volatile(from + INTERVAL_NS);
        }
        is_due
    }
}
