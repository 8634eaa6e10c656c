//! What happens to the target as a whole, and telling user space of it.

use aya_ebpf::{
    bindings::bpf_pidns_info,
    helpers::{
        bpf_get_current_pid_tgid, bpf_probe_read_user, bpf_send_signal,
        generated::bpf_get_ns_current_pid_tgid,
    },
    macros::map,
    maps::Array,
};
use tracer_common::{
    EventHeader, EventKind, LINKING_ADDS, ROOM_HELD, ROOM_ROWS, ROOM_WORDS, Trigger,
};

use crate::{
    atomic, control,
    epochs::{self, Now},
    in_flight, stack,
};

#[map]
static ROOM: Array<u64> = Array::with_max_entries(ROOM_WORDS, 0);

const SIGSTOP: u32 = 19;
/// The dynamic linker is at nothing (`RT_CONSISTENT` in `link.h`).
const CONSISTENT: u32 = 0;

/// The target replaced its image: addresses start anew. `thread` is the id of the thread that did.
#[inline(always)]
pub fn exec(thread: u32) {
    if !control::active() || !is_target() {
        return;
    }
    in_flight::forget_thread();
    epochs::mark(Trigger::Exec as u32);
    if let Some(now) = epochs::now() {
        now.begin_space();
        let hold = control::hold_images();
        now.set_new_image(hold);
        tell(EventHeader { kind: EventKind::Exec as u32, space: now.space }, hold);
        // Both numbers are the initial pid namespace's.
        if thread != (bpf_get_current_pid_tgid() >> 32) as u32 {
            // It took the main thread's place and id, but is another task than the one the probes are for.
            notify(EventHeader { kind: EventKind::ThreadExec as u32, space: now.space });
        }
    }
}

/// A thread ended, perhaps inside an allocation call.
///
/// Where it is the controller's main thread, which was killed, its children are about to get the signal that lets a target go on
/// (`PR_SET_PDEATHSIG`), and the probes are taken out some time later. Nobody is to be stopped in between.
#[inline(always)]
pub fn thread_exit() {
    in_flight::forget_thread();
    let id = bpf_get_current_pid_tgid();
    let process = (id >> 32) as u32;
    if id as u32 != process {
        return;
    }
    if epochs::is_controller(process) {
        control::end();
    } else if is_target()
        && let Some(now) = epochs::now()
    {
        notify(EventHeader { kind: EventKind::MainExit as u32, space: now.space });
    }
}

/// The dynamic linker loaded or unloaded something.
///
/// If the controller asked for it, the target stops here, before a constructor of a new object runs.
#[inline(always)]
pub fn objects_changed() {
    let Some(now) = epochs::now() else { return };
    let linking = note_removal(now);
    let is_image_loaded = linking == CONSISTENT && now.is_new_image();
    let hold = control::sync_objects() || is_image_loaded && control::hold_images();
    // Children that share the target's memory (`vfork`) come here, too, and nobody would let them go on.
    let hold = hold && is_target();
    let event = EventHeader { kind: EventKind::Objects as u32, space: now.space };
    // Once the image isn't new any more, whoever asks takes the stop for sent.
    tell_with(event, hold, || {
        if is_image_loaded {
            now.set_new_image(false);
        }
    });
}

/// User space has to catch up. A target that may be held waits for that; the signal goes out before it is noted, as user space
/// lets the target go on when it sees the note.
#[inline(always)]
pub fn hold_until_drained() {
    if !control::hold_images() || !is_target() {
        return;
    }
    // SAFETY: concerns the current process only, which is the target.
    unsafe { bpf_send_signal(SIGSTOP) };
    if let Some(held) = ROOM.get_ptr_mut(ROOM_HELD) {
        // SAFETY: points to an element of a map; one word.
        unsafe { held.write_volatile(1) };
    }
}

/// Counts a row.
#[inline(always)]
pub fn count_row() {
    let Some(most) = control::most_rows() else { return };
    let Some(rows) = ROOM.get_ptr_mut(ROOM_ROWS) else { return };
    // SAFETY: as above.
    unsafe {
        atomic::add(rows, 1);
        if rows.read_volatile() >= most {
            hold_until_drained();
        }
    }
}

/// An interpreter of Python's is about to run the program. Under `exec` it waits until its frames can be walked.
#[inline(always)]
pub fn python_starts() {
    let Some(now) = epochs::now() else { return };
    let hold = control::hold_images() && is_target();
    tell(EventHeader { kind: EventKind::PythonStart as u32, space: now.space }, hold);
}

/// Tells the controller, and stops the target where it is to `hold`. The signal goes out before the event: the controller
/// lets the target go on when it hears of it, and that takes back a stop which has not been taken note of yet.
/// No event, no stop.
#[inline(always)]
fn tell(event: EventHeader, hold: bool) {
    tell_with(event, hold, || {});
}

/// The same; `note` is done after the one and before the other.
#[inline(always)]
fn tell_with(event: EventHeader, hold: bool, note: impl FnOnce()) {
    let Some(mut entry) = stack::EVENTS.reserve::<EventHeader>(0) else { return };
    entry.write(event);
    if hold {
        // SAFETY: concerns the current process only, which is the target.
        unsafe { bpf_send_signal(SIGSTOP) };
    }
    note();
    entry.submit(0);
}

/// Counts what may have taken objects out of the target's memory, before it does and after it has. The dynamic linker
/// says what it is at before and after each change (`struct r_debug` in `link.h`): what neither begins nor ends a
/// loading, or can't be read, may be an unloading. Where it opens what is there already, it says nothing of a
/// beginning; but that is also what an unloading in a namespace of its own (`dlmopen`) looks like. Gives what it is at.
#[inline(always)]
fn note_removal(now: Now) -> u32 {
    const ADDING: u32 = LINKING_ADDS;
    const UNKNOWN: u32 = u32::MAX;
    let (at, lone) = control::linker();
    // SAFETY: reads the target's memory through the helper, which checks the address.
    let read = unsafe { bpf_probe_read_user(at as *const Linker) };
    let Linker { version, state, .. } =
        read.unwrap_or(Linker { version: UNKNOWN, other: [0; 5], state: UNKNOWN });
    match (now.set_linking(state), state) {
        (CONSISTENT, ADDING) | (ADDING, CONSISTENT) => {}
        (CONSISTENT, CONSISTENT) if version <= lone => {}
        _ => now.removed(),
    }
    state
}

/// `struct r_debug`, as far as it is of interest.
#[repr(C)]
struct Linker {
    version: u32,
    other: [u32; 5],
    state: u32,
}

/// Wakes the controller. A full ring buffer has waked it already.
#[inline(always)]
pub fn notify(event: EventHeader) {
    let _ = stack::EVENTS.output::<EventHeader>(&event, 0);
}

/// Whether the current task belongs to the target. Its id is asked for in the target's own pid namespace:
/// memtrace, which may run in any, knows no other number that is sure to be the kernel's.
#[inline(always)]
fn is_target() -> bool {
    own_ids().is_some_and(|ids| ids.tgid == control::target_tgid())
}

/// The ids of the current thread (`pid`) and its process (`tgid`) in the target's pid namespace; `None` where it is in
/// another.
#[inline(always)]
pub fn own_ids() -> Option<bpf_pidns_info> {
    let (device, inode) = control::target_namespace();
    let id = bpf_get_current_pid_tgid();
    let mut ids = bpf_pidns_info { pid: id as u32, tgid: (id >> 32) as u32 };
    if inode != 0 {
        let size = size_of::<bpf_pidns_info>() as u32;
        // SAFETY: the helper writes `size` bytes, all of `ids`; for a task of another namespace it fails.
        if unsafe { bpf_get_ns_current_pid_tgid(device, inode, &raw mut ids, size) } != 0 {
            return None;
        }
    }
    Some(ids)
}
