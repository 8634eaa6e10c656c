//! `operator new` where an allocator implements it apart from `malloc`.
//!
//! It may throw, so no return probe may be set on it: the unwinder would meet the kernel's trampoline in
//! place of a return address, and end the program. Instead, each `ret` instruction that the operator
//! ends with has a probe of its own. Other functions end there too, so an exit only counts when the
//! stack pointer is that of an operator's entry.
//!
//! An operator is counted when it returns, never before. One that threw leaves nothing behind but an entry
//! that no exit matches. `malloc` and `free` go their own way meanwhile: what the new-handler or the making of
//! an exception allocates is the program's, and where the operator returns a block that `malloc`
//! gave, that call has counted it.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, programs::ProbeContext};
use tracer_common::{OperatorCall, TallyKind, ThreadState};

use crate::{
    calls::{self, Returned},
    control,
    in_flight::{self, is_nested, this_thread},
    record,
    stack::Source,
    tally,
};

/// An operator was entered.
#[inline(always)]
pub fn enter(ctx: &ProbeContext, size: u64) {
    if !control::active() {
        return;
    }
    let sp = calls::entry_sp(ctx);
    let Some(thread) = this_thread() else {
        tally::count(TallyKind::AllocCalls);
        tally::count(TallyKind::AllocInflightFull);
        return;
    };
    // SAFETY: the entry belongs to this thread alone, and is removed by nobody else.
    let thread = unsafe { &mut *thread };
    if thread.sp != 0 && is_nested(thread.sp, sp) {
        return; // a hook that `malloc` calls
    }
    drop_up_to(thread, sp);
    let call = OperatorCall { sp, size };
    if thread.operators[0].sp == 0 {
        thread.operators[0] = call;
    } else {
        if thread.operators[1].sp != 0 {
            thread.operators[0] = thread.operators[1];
        }
        thread.operators[1] = call;
    }
    thread.last_block = 0;
}

/// A `ret` was reached that an operator may end with.
#[inline(always)]
pub fn leave(ctx: &ProbeContext, source: Source) {
    if !control::active() {
        return;
    }
    let Some(thread) = in_flight::known_thread(bpf_get_current_pid_tgid()) else { return };
    let sp = calls::entry_sp(ctx);
    // SAFETY: as above. Not a reference: the stack below it is written through the pointer.
    let size = unsafe {
        let operators = &mut (*thread).operators;
        let size = if operators[1].sp == sp {
            operators[1].size
        } else if operators[0].sp == sp {
            operators[0].size
        } else {
            return;
        };
        drop_up_to(&mut *thread, sp);
        size
    };
    record::operator_returned(&Returned::at_ret(ctx), thread, size, source);
}

/// Forgets the operators whose frames lie at or below `sp`, where another call begins or one ends: they
/// threw, or went on to that call by a tail jump.
#[inline(always)]
pub fn drop_up_to(thread: &mut ThreadState, sp: u64) {
    if thread.operators[1].sp <= sp {
        thread.operators[1].sp = 0;
    }
    if thread.operators[0].sp <= sp {
        thread.operators[0] = thread.operators[1];
        thread.operators[1].sp = 0;
    }
}
