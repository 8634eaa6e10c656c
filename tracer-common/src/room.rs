//! How much user space has to catch up with.

use crate::pod;

/// What has come together since user space last looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Room {
    /// Rows made since user space set this to 0.
    pub rows: u64,
    /// 1 since the target was stopped because of them, or because the ring buffer is half full; user space sets it to 0, and
    /// then lets the target go on.
    pub held: u64,
}

const _: () = assert!(size_of::<Room>() == 16);

pod!(Room);
