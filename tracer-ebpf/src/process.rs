//! What happens to the target as a whole, and telling user space of it.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_send_signal};
use tracer_common::{EventHeader, EventKind, Trigger};

use crate::{control, epochs, in_flight, stack};

const SIGSTOP: u32 = 19;

/// The target replaced its image: addresses start anew.
#[inline(always)]
pub fn exec() {
    if !is_target() || !control::active() {
        return;
    }
    in_flight::forget_thread();
    epochs::mark(Trigger::Exec);
    if let Some(now) = epochs::now() {
        now.begin_space();
        notify(EventHeader { kind: EventKind::Exec as u32, space: now.space });
    }
}

/// A thread ended, perhaps inside an allocation call.
#[inline(always)]
pub fn thread_exit() {
    in_flight::forget_thread();
}

/// The dynamic linker loaded or unloaded something.
///
/// If the controller asked for it, the target stops here, before a constructor of a new object runs. The signal
/// goes out before the event: the controller lets the target go on after each event, and that
/// takes back a stop which has not been taken note of yet. No event, no stop.
#[inline(always)]
pub fn objects_changed() {
    let Some(now) = epochs::now() else { return };
    let event = EventHeader { kind: EventKind::Objects as u32, space: now.space };
    let Some(mut entry) = stack::EVENTS.reserve::<EventHeader>(0) else { return };
    entry.write(event);
    if control::sync_objects() {
        // SAFETY: concerns the current process only, which is the target: the probe is set in no other.
        unsafe { bpf_send_signal(SIGSTOP) };
    }
    entry.submit(0);
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
