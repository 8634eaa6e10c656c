//! What happens to the target as a whole, and telling user space of it.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use tracer_common::{EventHeader, EventKind, Trigger};

use crate::{control, epochs, in_flight, stack};

/// The target replaced its image: addresses start anew. `thread` is the id of the thread that did.
#[inline(always)]
pub fn exec(thread: u32) {
    if !is_target() || !control::active() {
        return;
    }
    in_flight::forget_thread();
    epochs::mark(Trigger::Exec);
    if let Some(now) = epochs::now() {
        now.begin_space();
        notify(EventHeader { kind: EventKind::Exec as u32, space: now.space });
        if thread != control::target_tgid() {
            // It took the main thread's place and id, but is another task than the one the probes are for.
            notify(EventHeader { kind: EventKind::ThreadExec as u32, space: now.space });
        }
    }
}

/// A thread ended, perhaps inside an allocation call.
#[inline(always)]
pub fn thread_exit() {
    in_flight::forget_thread();
    let id = bpf_get_current_pid_tgid();
    if (id as u32 == control::target_tgid() && is_target())
        && let Some(now) = epochs::now()
    {
        notify(EventHeader { kind: EventKind::MainExit as u32, space: now.space });
    }
}

/// The dynamic linker loaded or unloaded something.
#[inline(always)]
pub fn objects_changed() {
    if let Some(now) = epochs::now() {
        notify(EventHeader { kind: EventKind::Objects as u32, space: now.space });
    }
}

/// Wakes the controller. A full ring buffer has waked it already.
#[inline(always)]
pub fn notify(event: EventHeader) {
    let _ = stack::EVENTS.output::<EventHeader>(&event, 0);
}

#[inline(always)]
fn is_target() -> bool {
    (bpf_get_current_pid_tgid() >> 32) as u32 == control::target_tgid()
}
