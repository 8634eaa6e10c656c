//! The kernel side's events, as what they mean: in whole pages, with impossible ones left out.

use thiserror::Error;
use tracer_common::{MapEvent, MapOp, Space, StackId};

use crate::ledger::StackKey;

/// The smallest unit of a mapping on x86-64.
const PAGE: u64 = 4096;

/// Whole pages; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first byte.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
}

impl Range {
    /// `None` where it would be empty.
    pub fn new(start: u64, end: u64) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// Its bytes.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(self) -> u64 {
        self.end - self.start
    }

    /// The pages of a call's arguments; `None` where the kernel would refuse them.
    fn of_pages(start: u64, len: u64) -> Option<Self> {
        let end = start.checked_add(len.checked_next_multiple_of(PAGE)?)?;
        if start.is_multiple_of(PAGE) { Self::new(start, end) } else { None }
    }
}

/// An event of a kind that this side does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a change of mappings of unknown kind")]
pub struct UnknownChange;

/// A change of mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The address space.
    pub space: Space,
    /// The thread.
    pub tid: u32,
    /// Who called; unknown while `in_heap`, until [`Action::Settle`].
    pub stack: StackId,
    /// Whether a heap call made it.
    pub in_heap: bool,
    /// What it does.
    pub action: Action,
}

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Maps pages, in place of whatever is there.
    Map(Range),
    /// Unmaps pages.
    Unmap(Range),
    /// Begins to remap pages.
    Take(Range),
    /// Ends the thread's remapping.
    Place {
        /// The pages that were taken.
        old: Range,
        /// Where they are now; `None` where they stayed as they were.
        new: Option<Range>,
    },
    /// Moves the program break.
    Break {
        /// From where, if the call told; rounded up to a page.
        old: Option<u64>,
        /// To where; rounded up to a page.
        new: u64,
    },
    /// Names the stack of the thread's heap call.
    Settle,
}

impl Change {
    /// What an event means; `None` if nothing, because the kernel refuses such a call.
    ///
    /// # Errors
    ///
    /// Where the event makes no sense.
    pub fn of(event: &MapEvent) -> Result<Option<Self>, UnknownChange> {
        let new = Range::of_pages(event.addr, event.len);
        let old = Range::of_pages(event.old_addr, event.old_len);
        let action = match MapOp::from_raw(event.op).ok_or(UnknownChange)? {
            MapOp::Map => new.map(Action::Map),
            MapOp::Unmap => new.map(Action::Unmap),
            MapOp::RemapStart => old.map(Action::Take),
            MapOp::RemapEnd => {
                let new = if event.addr == 0 { None } else { new };
                old.map(|old| Action::Place { old, new })
            }
            MapOp::Break => event.addr.checked_next_multiple_of(PAGE).map(|new| {
                let old = event.old_addr.checked_next_multiple_of(PAGE).filter(|old| *old != 0);
                Action::Break { old, new }
            }),
            MapOp::Owner => Some(Action::Settle),
        };
        Ok(action.map(|action| Self {
            space: event.header.space,
            tid: event.tid,
            stack: event.stack,
            in_heap: event.in_heap != 0,
            action,
        }))
    }

    pub(super) fn stack_key(&self) -> StackKey {
        StackKey { space: self.space, stack: self.stack }
    }
}
