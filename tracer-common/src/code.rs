//! Where code lies in the target, and which table unwinds it.

use crate::{Space, pod};

/// Stretches of code that are told apart.
pub const MAX_SPANS: usize = 1024;

/// Code maps: one in use, and those that programs which are still at work may have begun with. A new one goes where
/// none has been for longest. A program that imports its modules makes for some 20 changes within one grace period.
pub const CODE_MAPS: u32 = 32;

/// All executable mappings of the target at one time, by address.
///
/// [`crate::Control`] says which of them is in use.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CodeMap {
    /// Never the same twice in a run, never 0: what was found out by another code map is void.
    pub generation: u32,
    /// The address space that it describes.
    pub space: Space,
    /// How many spans are set.
    pub len: u32,
    /// Padding, zero.
    pub _pad: u32,
    /// Their first addresses, ascending. Unused ones are `u64::MAX`.
    pub starts: [u64; MAX_SPANS],
    /// The rest of them.
    pub spans: [CodeSpan; MAX_SPANS],
}

/// A stretch of code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CodeSpan {
    /// The address after its last.
    pub end: u64,
    /// What to subtract from an address to get that by the object's own headers; may wrap.
    pub bias: u64,
    /// The address that the table's pcs count from.
    pub origin: u64,
    /// Index of the map of nodes that has the table; only where `kind` is `Table`.
    pub table: u32,
    /// The table's first node in there, its root.
    pub root: u32,
    /// Leaves of the table; its escapes follow them.
    pub leaves: u32,
    /// The object's number in this run; [`crate::FrameWord::MAX_MODULES`] and above have none.
    pub module: u32,
    /// A [`SpanKind`].
    pub kind: u32,
    /// 1 where it is mapped as long as the image lasts: the dynamic linker unloads only what was loaded by `dlopen`.
    pub stays: u32,
}

/// What is known of a stretch of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SpanKind {
    /// Code of an object, with a table.
    Table = 1,
    /// Code of an object whose table is still to come.
    Pending = 2,
    /// Code of an object that has no call frame information.
    Bare = 3,
    /// Code in no file, made at run time.
    Anonymous = 4,
}

const _: () = assert!(size_of::<CodeSpan>() == 48);
const _: () = assert!(size_of::<CodeMap>() == 16 + MAX_SPANS * 56);
const _: () = assert!(MAX_SPANS.is_power_of_two() && CODE_MAPS.is_power_of_two());

pod!(CodeMap, CodeSpan);
