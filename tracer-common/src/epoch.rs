//! Counters per (stack, epoch), and what is known of each epoch as a whole.

use crate::{Epoch, Space, StackId, pod};

/// Names one row of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct RowKey {
    /// The stack that allocated the blocks, also of those that were freed elsewhere.
    pub stack: StackId,
    /// When: the epoch that was current at the event.
    pub epoch: Epoch,
    /// Where.
    pub space: Space,
}

/// What happened to the blocks of one stack within one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RowCounts {
    /// Bytes allocated.
    pub alloc_bytes: u64,
    /// Blocks allocated.
    pub alloc_blocks: u64,
    /// Bytes freed: of blocks of this stack, whichever epoch they were born in.
    pub free_bytes: u64,
    /// Blocks freed.
    pub free_blocks: u64,
    /// Bytes of these frees whose blocks were born in an earlier epoch. Those of the same epoch are the rest: mostly
    /// the many, which so cost nothing.
    pub carried_bytes: u64,
    /// Blocks freed that were born in an earlier epoch.
    pub carried_blocks: u64,
}

impl RowCounts {
    /// Adds what happened in another epoch.
    pub const fn add(&mut self, other: &Self) {
        self.alloc_bytes += other.alloc_bytes;
        self.alloc_blocks += other.alloc_blocks;
        self.free_bytes += other.free_bytes;
        self.free_blocks += other.free_blocks;
        self.carried_bytes += other.carried_bytes;
        self.carried_blocks += other.carried_blocks;
    }

    /// Bytes freed in the epoch that they were allocated in.
    pub const fn temporary_bytes(&self) -> u64 {
        self.free_bytes.saturating_sub(self.carried_bytes)
    }

    /// Blocks freed in the epoch that they were allocated in.
    pub const fn temporary_blocks(&self) -> u64 {
        self.free_blocks.saturating_sub(self.carried_blocks)
    }
}

/// A row as the kernel keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Row {
    /// What happened.
    pub counts: RowCounts,
    /// 0 until user space has the stack.
    pub stack_sent: u64,
}

/// What made a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Trigger {
    /// Not ended yet.
    None = 0,
    /// The clock, `--interval`.
    Interval = 1,
    /// An entry of `--mark-fn`'s function.
    MarkFn = 2,
    /// The trace's end.
    End = 3,
    /// The target replaced its image. Cuts the epoch, so that rows of two images never share one; not
    /// an iteration's end.
    Exec = 4,
    /// `snapshot` on `--control`'s FIFO.
    Control = 6,
    /// SIGUSR2 to memtrace.
    Signal = 7,
    /// Enter on memtrace's terminal.
    Key = 8,
    /// The target's own probe `memtrace:iteration`.
    Usdt = 9,
    /// There are so many rows that they have to be drained. Cuts the epoch; not an iteration's end.
    Full = 10,
}

impl Trigger {
    /// The trigger that the kernel wrote; `None` where the number means nothing to us.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            0 => Self::None,
            1 => Self::Interval,
            2 => Self::MarkFn,
            3 => Self::End,
            4 => Self::Exec,
            6 => Self::Control,
            7 => Self::Signal,
            8 => Self::Key,
            9 => Self::Usdt,
            10 => Self::Full,
            _ => return None,
        })
    }
}

/// An epoch as a whole. Slots form a ring of [`crate::limits::MAX_EPOCHS`], indexed by the epoch's
/// low bits, and are zeroed by the controller once drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EpochSlot {
    /// Highest live bytes seen in the epoch.
    pub peak_bytes: i64,
    /// `CLOCK_MONOTONIC` at its end, in ns; 0 while it runs.
    pub end_ns: u64,
    /// A [`Trigger`], of the mark that ended it.
    pub trigger: u32,
    /// Padding, zero.
    pub _pad: u32,
    /// The row for events whose own row could not be made.
    pub unknown: RowCounts,
}

/// [`KernelState::linking`] while objects are being loaded (`RT_ADD` in `link.h`).
pub const LINKING_ADDS: u32 = 1;

/// What only the kernel side writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct KernelState {
    /// Live bytes now. Signed: between two programs' additions it may dip below 0.
    pub live_bytes: i64,
    /// The current [`Epoch`].
    pub epoch: u32,
    /// The current [`Space`].
    pub space: u32,
    /// Entries of the mark function.
    pub mark_calls: u64,
    /// Marks that found no free slot and did not start an epoch.
    pub marks_merged: u64,
    /// How often the dynamic linker may have unmapped objects.
    pub removals: u64,
    /// What the dynamic linker was last seen to be at.
    pub linking: u32,
    /// The epoch that began with the last mark which user space made; 0 where that found no room.
    pub user_mark: u32,
    /// 1 from an `execve` that is held ([`crate::Control::hold_images`]) until the dynamic linker has loaded its objects.
    pub new_image: u32,
    /// The process that the kernel side works for, as the initial pid namespace numbers it; 0 until it has said so.
    pub controller: u32,
}

const _: () = assert!(size_of::<RowKey>() == 16);
const _: () = assert!(size_of::<RowCounts>() == 48);
const _: () = assert!(size_of::<Row>() == 56);
const _: () = assert!(size_of::<EpochSlot>() == 72);
const _: () = assert!(size_of::<KernelState>() == 56);

pod!(RowKey, RowCounts, Row, EpochSlot, KernelState);
