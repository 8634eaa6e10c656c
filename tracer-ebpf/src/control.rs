//! What the controller says, before the load (constants) and during the run (one map value).

use aya_ebpf::{Global, macros::map, maps::Array};
use tracer_common::{CodeRange, Control, limits::MAX_ALLOCATORS};

#[unsafe(no_mangle)]
static TARGET_TGID: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static TARGET_NS_DEVICE: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static TARGET_NS_INODE: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static MIN_SIZE: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static MAX_SIZE: Global<u64> = Global::new(u64::MAX);
#[unsafe(no_mangle)]
static MARK_EVERY: Global<u64> = Global::new(1);

#[unsafe(no_mangle)]
static THREAD_POINTER: Global<u64> = Global::new(0);

#[unsafe(no_mangle)]
static KERNEL_STACKS: Global<u32> = Global::new(0);

/// One field of what the controller says, which may write it meanwhile: each is one word. 0 without it.
macro_rules! read {
    ($field:ident) => {
        match CONTROL.get_ptr(0) {
            // SAFETY: element 0 exists for as long as the program runs.
            Some(control) => unsafe { (&raw const (*control).$field).read_volatile() },
            None => 0,
        }
    };
}

#[map]
static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// The code of the target's allocators; unused elements are empty.
#[map]
static ALLOCATORS: Array<CodeRange> = Array::with_max_entries(MAX_ALLOCATORS, 0);

/// Whether an address lies in the code of an allocator.
#[inline(always)]
pub fn is_allocator_code(address: u64) -> bool {
    for i in 0..MAX_ALLOCATORS {
        if let Some(range) = ALLOCATORS.get(i)
            && address >= range.start
            && address < range.end
        {
            return true;
        }
    }
    false
}

/// Whether events are recorded now.
#[inline(always)]
pub fn active() -> bool {
    read!(active) != 0
}

/// Ends the recording: there is nobody any more to record for. Nothing stops the target from here on.
#[inline(always)]
pub fn end() {
    if let Some(control) = CONTROL.get_ptr_mut(0) {
        // SAFETY: element 0 exists for as long as the program runs; its only other writer is gone.
        unsafe { (&raw mut (*control).active).write_volatile(0) };
    }
}

/// Whether blocks that are allocated now are to be left out.
#[inline(always)]
pub fn paused() -> bool {
    read!(paused) != 0
}

/// Whether to stop the target when its list of loaded objects has changed.
#[inline(always)]
pub fn sync_objects() -> bool {
    active() && read!(sync_objects) != 0
}

/// Whether to stop the target where its image is new.
#[inline(always)]
pub fn hold_images() -> bool {
    active() && read!(hold_images) != 0
}

/// Rows that an epoch may have; `None` where nobody asks.
#[inline(always)]
pub fn most_rows() -> Option<u64> {
    match read!(most_rows) {
        0 => None,
        most => Some(most.into()),
    }
}

/// Epochs before this one are drained.
#[inline(always)]
pub fn drained() -> u32 {
    read!(drained)
}

/// Where return-probed functions return to; 0 while not known.
#[inline(always)]
pub fn trampoline() -> u64 {
    read!(trampoline)
}

/// Which code map is in use.
#[inline(always)]
pub fn code_map() -> u32 {
    read!(code_map)
}

/// The count of removals that the code map in use takes into account.
#[inline(always)]
pub fn known_removals() -> u64 {
    read!(removals)
}

/// Where the target's dynamic linker says what it is at, 0 while not known; and the highest version of that which says
/// that there is one namespace.
#[inline(always)]
pub fn linker() -> (u64, u32) {
    (read!(linker), read!(lone_version))
}

/// The target's thread group, as its pid namespace numbers it.
#[inline(always)]
pub fn target_tgid() -> u32 {
    TARGET_TGID.load()
}

/// Device and inode of the target's pid namespace; inode 0 for the initial one.
#[inline(always)]
pub fn target_namespace() -> (u64, u64) {
    (TARGET_NS_DEVICE.load(), TARGET_NS_INODE.load())
}

/// Where the kernel keeps a thread's thread pointer: bytes from its `task_struct`; 0 where that is not known.
#[inline(always)]
pub fn thread_pointer() -> u64 {
    THREAD_POINTER.load()
}

/// Whether a block of this size is to be recorded.
#[inline(always)]
pub fn wants(size: u64) -> bool {
    size >= MIN_SIZE.load() && size <= MAX_SIZE.load()
}

/// A mark at each so many entries of the mark function.
#[inline(always)]
pub fn mark_every() -> u64 {
    MARK_EVERY.load()
}

/// Whether stacks are to be those of `bpf_get_stack`, for the bench to compare with.
#[inline(always)]
pub fn kernel_stacks() -> bool {
    KERNEL_STACKS.load() != 0
}
