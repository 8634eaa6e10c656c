//! What user space tells the kernel side while the trace runs.

use crate::pod;

/// What only the controller writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Control {
    /// 1 while events are recorded.
    pub active: u32,
    /// Epochs before this one are drained, and their slots free.
    pub drained: u32,
    /// Where the kernel makes return-probed functions return to, in the target; 0 while not known.
    pub trampoline: u64,
    /// 1 while the target is to be stopped whenever the dynamic linker has changed its list of objects.
    pub sync_objects: u32,
    /// Which of the code maps is in use.
    pub code_map: u32,
    /// [`crate::KernelState::removals`] when the target's mappings were read last. While it differs, what the code
    /// map has may be gone, and other code be in its place.
    pub removals: u64,
    /// Where the target's dynamic linker says what it is at (`struct r_debug` in `link.h`); 0 while not known.
    pub linker: u64,
    /// The highest `r_version` by which that says that there is one namespace; 0 where it doesn't say.
    pub lone_version: u32,
    /// 1 while blocks that are allocated are not to be recorded. Frees are: a block that was recorded must not look
    /// live for ever.
    pub paused: u32,
    /// 1 while the target is to be stopped at each `execve`, and again when the dynamic linker has loaded what the new
    /// image was linked with.
    pub hold_images: u32,
    /// Rows that an epoch may have before it is time to drain it; 0 where that is not asked for. A target that may be held
    /// ([`Control::hold_images`]) is stopped then, and where the ring buffer is half full.
    pub most_rows: u32,
}

/// Where an allocator's own code lies in the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CodeRange {
    /// Its first byte.
    pub start: u64,
    /// The byte after its last.
    pub end: u64,
}

const _: () = assert!(size_of::<Control>() == 56);

pod!(Control, CodeRange);
