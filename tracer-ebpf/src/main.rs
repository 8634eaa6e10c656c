//! memtrace in the kernel: entry points only. Each hands on to the file that owns its job:
//! `calls` (arguments) → `in_flight`, `operators` (entry to return) → `record` (commit or restore) →
//! `live`, `rows`, `epochs`, `stack`, `tally`. Mappings, the second domain, go `calls` → `mappings` →
//! `map_events`.
//!
//! All entry probes are attached with a filter on the target's address space, so they fire for no
//! other process. Minimum kernel: 5.15.

#![no_std]
#![no_main]
#![expect(
    internal_features,
    reason = "atomics with a result exist only as intrinsics on this target"
)]
#![feature(asm_experimental_arch, core_intrinsics)]

mod atomic;
mod calls;
mod chain;
mod control;
mod epochs;
mod in_flight;
mod kernel_stack;
mod live;
mod map_events;
mod mappings;
mod memo;
mod operators;
mod process;
mod python;
mod python_code;
mod python_copy;
mod python_frame;
mod python_pools;
mod raw;
mod record;
mod rows;
mod stack;
mod tables;
mod tally;
mod walk;
mod window;

use aya_ebpf::{
    macros::{raw_tracepoint, uprobe, uretprobe},
    programs::{ProbeContext, RawTracePointContext, RetProbeContext},
};
use calls::Returned;
use chain::Then;
use stack::Source;
use tracer_common::{CallKind, Domain, MapCallKind};

/// Attaches to: `malloc`, `valloc`, `pvalloc`, at an instruction before the first push.
/// Captures: the size.
#[uprobe]
fn enter_malloc(ctx: ProbeContext) -> u32 {
    in_flight::enter(&ctx, CallKind::Allocate, calls::argument(&ctx, 0), 0);
    0
}

/// Attaches to: `calloc`. Captures: the product; where it overflows, the call fails and it is not used.
#[uprobe]
fn enter_calloc(ctx: ProbeContext) -> u32 {
    let size = calls::argument(&ctx, 0).wrapping_mul(calls::argument(&ctx, 1));
    in_flight::enter(&ctx, CallKind::Allocate, size, 0);
    0
}

/// Attaches to: `aligned_alloc`, `memalign`. Captures: the size, their second argument.
#[uprobe]
fn enter_aligned(ctx: ProbeContext) -> u32 {
    in_flight::enter(&ctx, CallKind::Allocate, calls::argument(&ctx, 1), 0);
    0
}

/// Attaches to: `realloc`. Captures: the old block, which leaves the live set here, and the size.
#[uprobe]
fn enter_realloc(ctx: ProbeContext) -> u32 {
    let old = calls::argument(&ctx, 0);
    in_flight::enter(&ctx, calls::reallocation(old), calls::argument(&ctx, 1), old);
    0
}

/// Attaches to: `reallocarray`. Captures: as `realloc`, with a product for the size. Where it overflows the call
/// fails, and must not look like one for 0 bytes, which frees.
#[uprobe]
fn enter_reallocarray(ctx: ProbeContext) -> u32 {
    let old = calls::argument(&ctx, 0);
    let size = calls::product(calls::argument(&ctx, 1), calls::argument(&ctx, 2));
    in_flight::enter(&ctx, calls::reallocation(old), size, old);
    0
}

/// Attaches to: `posix_memalign`. Captures: the size, and where the block's address will be stored.
#[uprobe]
fn enter_posix_memalign(ctx: ProbeContext) -> u32 {
    in_flight::enter(
        &ctx,
        CallKind::StoreThrough,
        calls::argument(&ctx, 2),
        calls::argument(&ctx, 0),
    );
    0
}

/// Attaches to: the return of every function above. Captures: the block, its stack, the epoch.
#[uretprobe]
fn leave(ctx: RetProbeContext) -> u32 {
    in_flight::leave(&ctx, Source::Walk);
    0
}

/// Attaches to: `free`, `cfree` and their sized kin, and an allocator's own `operator delete`. Captures: the address.
#[uprobe]
fn enter_free(ctx: ProbeContext) -> u32 {
    in_flight::free(&ctx, calls::argument(&ctx, 0));
    0
}

/// Attaches to: `malloc` of CPython's allocator table, whose functions get a context before all else. Captures: the
/// size.
#[uprobe]
fn enter_python_malloc(ctx: ProbeContext) -> u32 {
    let size = calls::argument(&ctx, 1);
    in_flight::enter_in(&ctx, Domain::Python, CallKind::Allocate, size, 0);
    0
}

/// Attaches to: `calloc` of that table. Captures: the product; where it overflows, the call fails.
#[uprobe]
fn enter_python_calloc(ctx: ProbeContext) -> u32 {
    let size = calls::argument(&ctx, 1).wrapping_mul(calls::argument(&ctx, 2));
    in_flight::enter_in(&ctx, Domain::Python, CallKind::Allocate, size, 0);
    0
}

/// Attaches to: `realloc` of that table. Captures: the old block, which leaves the live set here, and the size.
#[uprobe]
fn enter_python_realloc(ctx: ProbeContext) -> u32 {
    let (old, size) = (calls::argument(&ctx, 1), calls::argument(&ctx, 2));
    in_flight::enter_in(&ctx, Domain::Python, calls::reallocation(old), size, old);
    0
}

/// Attaches to: `free` of that table. Captures: the address.
#[uprobe]
fn enter_python_free(ctx: ProbeContext) -> u32 {
    in_flight::free(&ctx, calls::argument(&ctx, 1));
    0
}

/// Attaches to: an `operator new` that does not get its blocks from `malloc`. Captures: the size.
#[uprobe]
fn enter_operator_new(ctx: ProbeContext) -> u32 {
    operators::enter(&ctx, calls::argument(&ctx, 0));
    0
}

/// Attaches to: each `ret` instruction that such an operator ends with. Captures: the block, its stack, the
/// epoch. No return probe, because these functions throw. Cost: a `ret` is single-stepped.
#[uprobe]
fn leave_operator_new(ctx: ProbeContext) -> u32 {
    operators::leave(&ctx, Source::Walk);
    0
}

/// Attaches to: `mmap`. Captures: the length. Costs one trap and one lookup.
#[uprobe]
fn enter_mmap(ctx: ProbeContext) -> u32 {
    mappings::enter(&ctx, MapCallKind::Map, calls::argument(&ctx, 1));
    0
}

/// Attaches to: `mremap`. Captures: the old range, which is reported as taken out here, length and flags.
#[uprobe]
fn enter_mremap(ctx: ProbeContext) -> u32 {
    let argument = |n| calls::argument(&ctx, n);
    mappings::enter_remap(&ctx, argument(0), argument(1), argument(2), argument(3));
    0
}

/// Attaches to: `sbrk`. Captures: the increment.
#[uprobe]
fn enter_sbrk(ctx: ProbeContext) -> u32 {
    mappings::enter(&ctx, MapCallKind::Increment, calls::argument(&ctx, 0));
    0
}

/// Attaches to: `brk`. Captures: the new break.
#[uprobe]
fn enter_brk(ctx: ProbeContext) -> u32 {
    mappings::enter(&ctx, MapCallKind::Break, calls::argument(&ctx, 0));
    0
}

/// Attaches to: the return of the four functions above. Captures: the range, its stack, the epoch. Costs
/// a stack walk where something grew, and an event.
#[uretprobe]
fn leave_mapping(ctx: RetProbeContext) -> u32 {
    mappings::leave(&ctx, Source::Walk);
    0
}

/// Attaches to: `munmap`. Captures: the range, before it is gone. Costs a trap and an event.
#[uprobe]
fn enter_munmap(ctx: ProbeContext) -> u32 {
    mappings::unmap(calls::argument(&ctx, 0), calls::argument(&ctx, 1));
    0
}

/// Attaches to: nothing; whether it loads says whether the kernel has `bpf_loop` (5.17).
#[uprobe]
fn has_loops(_ctx: ProbeContext) -> u32 {
    chain::has_loops()
}

/// Attaches to: as [`leave`], where the kernel has no `bpf_loop`; so do all that have `chained` in their name.
#[uretprobe]
fn leave_chained(ctx: RetProbeContext) -> u32 {
    chain::begin(&ctx, &Returned::after_ret(&ctx), Then::Leave);
    0
}

/// Attaches to: as [`leave_operator_new`].
#[uprobe]
fn leave_operator_new_chained(ctx: ProbeContext) -> u32 {
    chain::begin(&ctx, &Returned::at_ret(&ctx), Then::LeaveOperatorNew);
    0
}

/// Attaches to: as [`leave_mapping`].
#[uretprobe]
fn leave_mapping_chained(ctx: RetProbeContext) -> u32 {
    chain::begin(&ctx, &Returned::after_ret(&ctx), Then::LeaveMapping);
    0
}

/// Attaches to: nothing; the three above go on here, and here again until the stack ends.
#[uprobe]
fn walk_on(ctx: ProbeContext) -> u32 {
    chain::walk_on(&ctx);
    0
}

/// Attaches to: nothing; [`leave_chained`] ends here, with the stack known.
#[uretprobe]
fn leave_walked(ctx: RetProbeContext) -> u32 {
    in_flight::leave(&ctx, Source::Ahead);
    0
}

/// Attaches to: nothing; [`leave_operator_new_chained`] ends here.
#[uprobe]
fn leave_operator_new_walked(ctx: ProbeContext) -> u32 {
    operators::leave(&ctx, Source::Ahead);
    0
}

/// Attaches to: nothing; [`leave_mapping_chained`] ends here.
#[uretprobe]
fn leave_mapping_walked(ctx: RetProbeContext) -> u32 {
    mappings::leave(&ctx, Source::Ahead);
    0
}

/// Attaches to: the entry of `--mark-fn`'s function.
#[uprobe]
fn mark_fn(_ctx: ProbeContext) -> u32 {
    epochs::mark_call();
    0
}

/// Attaches to: the function by which an interpreter frees code objects. Captures: that it was called.
#[uprobe]
fn python_code_freed(_ctx: ProbeContext) -> u32 {
    python_code::freed();
    0
}

/// Attaches to: a conditional jump where CPython's own allocator has taken a pool of 16 KiB, with `--python-objects classes`.
/// Captures: the pool, and the stack that asked for more than there was. Needs `bpf_loop` (5.17), as Python's frames do.
/// Costs a trap each time, and a stack walk up to 2000 times a second; a pool has room for 31 objects or more.
#[uprobe]
fn python_pool_taken(ctx: ProbeContext) -> u32 {
    python_pools::taken(&ctx);
    0
}

/// Attaches to: the target's static probe `memtrace:iteration`, a `nop`. Captures: that it was passed.
#[uprobe]
fn mark_usdt(_ctx: ProbeContext) -> u32 {
    epochs::mark_usdt();
    0
}

/// Attaches to: nothing, but where the bench asks for it, in place of all `enter_` programs. Captures nothing.
#[uprobe]
fn floor_entry(_ctx: ProbeContext) -> u32 {
    0
}

/// Attaches to: as [`floor_entry`], in place of `leave`.
#[uretprobe]
fn floor_return(_ctx: RetProbeContext) -> u32 {
    0
}

/// Attaches to: nothing; the controller runs it to make a mark, so that all marks are made in the kernel. Its
/// argument is the trigger.
#[raw_tracepoint]
fn mark_user(ctx: RawTracePointContext) -> i32 {
    epochs::mark_by_user(ctx.arg::<u64>(0) as u32);
    0
}

/// Attaches to: nothing, user space runs it when the recording begins.
#[raw_tracepoint]
fn enlist(_ctx: RawTracePointContext) -> i32 {
    epochs::enlist();
    0
}

/// Attaches to: `_dl_debug_state`, which the dynamic linker calls after each change of the list of
/// loaded objects.
#[uprobe]
fn objects_changed(_ctx: ProbeContext) -> u32 {
    process::objects_changed();
    0
}

/// Attaches to: `Py_RunMain`, which is entered once, when the interpreter is ready.
#[uprobe]
fn python_starts(_ctx: ProbeContext) -> u32 {
    process::python_starts();
    0
}

/// Attaches to: the tracepoint of that name. Fires for every process; all but the target leave at once.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn process_exec(ctx: RawTracePointContext) -> i32 {
    // Its arguments: the task, the id that it had before, the program.
    process::exec(ctx.arg::<u32>(1));
    0
}

/// Attaches to: the tracepoint of that name. Fires for every thread of the machine that ends, and costs
/// one lookup there.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn thread_exit(_ctx: RawTracePointContext) -> i32 {
    process::thread_exit();
    0
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// What the kernel is told; some helpers are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
