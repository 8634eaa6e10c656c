//! The running epoch, marks, and the totals that belong to an epoch as a whole.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::map,
    maps::Array,
};
use tracer_common::{
    Epoch, EpochSlot, EventHeader, EventKind, KernelState, RowCounts, Space, Trigger,
    limits::MAX_EPOCHS,
};

use crate::{atomic, control, process};

#[map]
static STATE: Array<KernelState> = Array::with_max_entries(1, 0);

#[map]
static EPOCHS: Array<EpochSlot> = Array::with_max_entries(MAX_EPOCHS, 0);

/// When and where an event happens. Read once per event: a mark or an exec on another CPU must not split it.
#[derive(Clone, Copy)]
pub struct Now {
    pub epoch: Epoch,
    pub space: Space,
    state: *mut KernelState,
}

/// The present epoch and address space.
#[inline(always)]
pub fn now() -> Option<Now> {
    let state = STATE.get_ptr_mut(0)?;
    // SAFETY: element 0 exists for as long as the program runs.
    let (epoch, space) = unsafe {
        ((&raw const (*state).epoch).read_volatile(), (&raw const (*state).space).read_volatile())
    };
    Some(Now { epoch: Epoch(epoch), space: Space(space), state })
}

impl Now {
    /// Changes the live bytes, and raises the epoch's peak where they grew.
    #[inline(always)]
    pub fn live_changed(self, bytes: i64) {
        // SAFETY: `state` points to the map's only element.
        let live = atomic::add_signed(unsafe { &raw mut (*self.state).live_bytes }, bytes);
        if bytes > 0
            && let Some(slot) = slot(self.epoch)
        {
            // SAFETY: `slot` points to an element of the map.
            atomic::raise(unsafe { &raw mut (*slot).peak_bytes }, live);
        }
    }

    /// How often objects may have been unmapped so far.
    #[inline(always)]
    pub fn removals(self) -> u64 {
        // SAFETY: as above.
        unsafe { (&raw const (*self.state).removals).read_volatile() }
    }

    /// What the dynamic linker is at now; gives what it was at before.
    #[inline(always)]
    pub fn set_linking(self, linking: u32) -> u32 {
        // SAFETY: as above. The dynamic linker does one thing at a time, under its lock.
        unsafe {
            let at = &raw mut (*self.state).linking;
            let before = at.read_volatile();
            at.write_volatile(linking);
            before
        }
    }

    /// Whether the dynamic linker has yet to load the image's objects.
    #[inline(always)]
    pub fn set_new_image(self, new: bool) {
        // SAFETY: as above.
        unsafe { (&raw mut (*self.state).new_image).write_volatile(new.into()) };
    }

    /// See [`Now::set_new_image`].
    #[inline(always)]
    pub fn is_new_image(self) -> bool {
        // SAFETY: as above.
        unsafe { (&raw const (*self.state).new_image).read_volatile() != 0 }
    }

    /// Objects are about to be unmapped, or have been.
    #[inline(always)]
    pub fn removed(self) {
        // SAFETY: as above.
        atomic::add(unsafe { &raw mut (*self.state).removals }, 1);
    }

    /// The row for events that could not be given one of their own.
    #[inline(always)]
    pub fn unknown_row(self) -> Option<*mut RowCounts> {
        // SAFETY: as above.
        slot(self.epoch).map(|slot| unsafe { &raw mut (*slot).unknown })
    }

    /// Begins a new address space: nothing is live in it yet.
    #[inline(always)]
    pub fn begin_space(self) {
        // SAFETY: as above. The target has one thread at this point.
        unsafe {
            atomic::next_u32(&raw mut (*self.state).space);
            (&raw mut (*self.state).live_bytes).write_volatile(0);
        }
    }
}

/// Ends the running epoch and starts the next.
///
/// Which epoch an event belongs to is decided here, in the kernel: what happens between the mark and the
/// controller's waking up is already counted for the next one.
///
/// `trigger` is a [`Trigger`]. Gives the number of the epoch that now runs; 0 where the mark found no room.
#[inline(always)]
pub fn mark(trigger: u32) -> u32 {
    let Some(state) = STATE.get_ptr_mut(0) else { return 0 };
    // SAFETY: as above.
    let running = unsafe { (&raw const (*state).epoch).read_volatile() };
    // The trace's end and a new image must not be refused: two slots are kept for them, and one for what
    // comes after.
    let full = running.wrapping_sub(control::drained()) >= MAX_EPOCHS - 3;
    if full && control::active() && trigger != Trigger::Exec as u32 {
        // SAFETY: as above.
        atomic::add(unsafe { &raw mut (*state).marks_merged }, 1);
        return 0;
    }
    // SAFETY: as above.
    let ended = atomic::next_u32(unsafe { &raw mut (*state).epoch });
    if let Some(slot) = slot(Epoch(ended)) {
        // SAFETY: this run alone ended this epoch, so it alone writes these fields.
        unsafe {
            (*slot).trigger = trigger;
            (*slot).end_ns = bpf_ktime_get_ns();
        }
    }
    if let Some(slot) = slot(Epoch(ended.wrapping_add(1))) {
        // SAFETY: as above.
        unsafe {
            atomic::raise(
                &raw mut (*slot).peak_bytes,
                (&raw const (*state).live_bytes).read_volatile(),
            );
        };
    }
    // SAFETY: as above.
    let space = Space(unsafe { (*state).space });
    process::notify(EventHeader { kind: EventKind::Mark as u32, space });
    ended.wrapping_add(1)
}

/// Counts an entry of the mark function, and marks at each Nth.
#[inline(always)]
pub fn mark_call() {
    if !control::active() {
        return;
    }
    let Some(state) = STATE.get_ptr_mut(0) else { return };
    // SAFETY: as above.
    let calls = atomic::next(unsafe { &raw mut (*state).mark_calls }) + 1;
    if calls.is_multiple_of(control::mark_every()) {
        mark(Trigger::MarkFn as u32);
    }
}

/// A mark that user space makes, one at a time, and tells apart from others by what is left in the state.
#[inline(always)]
pub fn mark_by_user(trigger: u32) {
    let begun = mark(trigger);
    if let Some(state) = STATE.get_ptr_mut(0) {
        // SAFETY: `state` points to the map's only element; nobody else writes this field.
        unsafe { (&raw mut (*state).user_mark).write_volatile(begun) };
    }
}

/// Whoever runs this is the controller.
#[inline(always)]
pub fn enlist() {
    let Some(state) = STATE.get_ptr_mut(0) else { return };
    let process = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: `state` points to the map's only element; nobody else writes this field.
    unsafe { (&raw mut (*state).controller).write_volatile(process) };
}

/// Whether a process, by its number in the initial pid namespace, is the controller.
#[inline(always)]
pub fn is_controller(process: u32) -> bool {
    // SAFETY: as above.
    STATE.get_ptr(0).is_some_and(|state| unsafe { (*state).controller } == process)
}

/// The target passed its own probe for the end of an iteration.
#[inline(always)]
pub fn mark_usdt() {
    if control::active() {
        mark(Trigger::Usdt as u32);
    }
}

#[inline(always)]
fn slot(epoch: Epoch) -> Option<*mut EpochSlot> {
    EPOCHS.get_ptr_mut(epoch.0 & (MAX_EPOCHS - 1))
}
