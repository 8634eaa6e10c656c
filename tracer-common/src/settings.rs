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
    /// Padding, zero.
    pub _pad: u32,
}

/// How to get from an allocation shim's frame to its caller's, at one return address in the shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ShimStep {
    /// The caller's stack pointer minus the shim's, in bytes; the return address lies 8 below it.
    pub cfa_offset: u32,
    /// 1 while `rbp` still is the caller's, so that a frame-pointer walk may go on from there.
    pub keeps_rbp: u32,
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

const _: () = assert!(size_of::<Control>() == 24);
const _: () = assert!(size_of::<ShimStep>() == 8);

pod!(Control, ShimStep, CodeRange);
