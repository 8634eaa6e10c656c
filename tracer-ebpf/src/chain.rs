//! The stack walk on kernels without `bpf_loop`: a chain of programs, each of which goes a few frames on.
//!
//! A program can't come back from one that it has called this way. So the stack is walked first, and the program that
//! ends the chain is the ordinary one, which finds it walked already.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext, helpers::bpf_get_current_pid_tgid, helpers::generated::bpf_loop, macros::map,
    maps::ProgramArray,
};
use tracer_common::{StackId, ThreadState, chain};

use crate::{
    calls::Returned,
    control, epochs, in_flight, raw, stack,
    walk::{self, Context},
};

/// Frames a program. Each costs the verifier some thousand instructions.
const FRAMES: u32 = 8;
/// Programs a chain, the first and the last not counted: the kernel allows 33 in all.
const ROUNDS: u32 = 30;

#[map]
static CHAIN: ProgramArray = ProgramArray::with_max_entries(chain::PROGRAMS.len() as u32, 0);

/// The program that a chain ends with.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Then {
    Leave = chain::LEAVE,
    LeaveOperatorNew = chain::LEAVE_OPERATOR_NEW,
    LeaveMapping = chain::LEAVE_MAPPING,
}

/// A call returned whose stack may be needed. Where the chain breaks, the call counts as one that never returned.
#[inline(always)]
pub fn begin<C: EbpfContext>(ctx: &C, call: &Returned, then: Then) {
    if !control::active() {
        return;
    }
    let Some(thread) = in_flight::known_thread(bpf_get_current_pid_tgid()) else { return };
    let Some(now) = epochs::now() else { return };
    // SAFETY: the entry belongs to this thread alone.
    let walk = unsafe { &mut (*thread).walk };
    walk.then = then as u32;
    // Without its frames a stack is of use only where user space has them.
    let recalled = stack::recall(call, now, thread).map(|id| stack::whole_id(thread, id));
    if let Some(id) = recalled.filter(|&id| stack::is_known(id)) {
        walk.stack = id;
    } else if walk::begin(thread, now.space) {
        go_to(ctx, chain::WALK_ON);
    } else {
        end(thread);
    }
    go_to(ctx, then as u32);
}

/// Goes a few frames on.
#[inline(always)]
pub fn walk_on<C: EbpfContext>(ctx: &C) {
    let Some(thread) = in_flight::known_thread(bpf_get_current_pid_tgid()) else { return };
    // SAFETY: the entry belongs to this thread alone.
    let walk = unsafe { &mut (*thread).walk };
    let Some(mut context) = Context::of(thread) else { return };
    walk.round += 1;
    let mut ended = walk.round > ROUNDS;
    for number in 0..FRAMES {
        // SAFETY: the context is one.
        if ended || unsafe { walk::step::<false>(u64::from(number), &raw mut context) } != 0 {
            ended = true;
            break;
        }
    }
    if !ended {
        go_to(ctx, chain::WALK_ON);
    }
    end(thread);
    go_to(ctx, walk.then);
}

#[inline(always)]
fn end(thread: *mut ThreadState) {
    let id: StackId = stack::whole_id(thread, walk::end(thread));
    if let Some(now) = epochs::now() {
        let id = raw::instead(thread, now.space, now.epoch, id);
        // SAFETY: as above.
        unsafe { (*thread).walk.stack = id };
    }
}

#[inline(always)]
fn go_to<C: EbpfContext>(ctx: &C, number: u32) {
    // SAFETY: nothing in the callers waits to be dropped.
    unsafe { CHAIN.tail_call(ctx, number) };
}

/// Uses `bpf_loop`.
#[inline(always)]
pub fn has_loops() -> u32 {
    unsafe extern "C" fn nothing(_number: u64, _context: *mut c_void) -> i64 {
        0
    }
    let mut context = 0_u64;
    // SAFETY: the callback does not look at its context.
    unsafe { bpf_loop(1, nothing as *const () as *mut c_void, (&raw mut context).cast(), 0) as u32 }
}
