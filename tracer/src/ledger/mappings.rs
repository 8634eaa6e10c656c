//! The books of the second domain: address space mapped by `mmap`, `mremap` and the program break.
//!
//! The kernel side tells each change; here are the ranges, page by page as the kernel has them, and
//! what each stack mapped, holds and grew by. Never added to the heap's: the heap's own memory is in here
//! once more, as what the allocator mapped. Bytes are address space, touched or not.
//!
//! A page belongs to the stack that mapped it, wherever `mremap` moves it; what `mremap` or `brk` adds
//! belongs to their caller.

mod account;
mod change;
mod ranges;
mod view;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod rule_tests;

pub use account::{MappingKey, MappingTotals};
pub use change::{Action, Change, Range, UnknownChange};
pub use view::MappedStack;

use std::collections::HashMap;

use tracer_common::{Space, StackId};

use self::{
    account::{AccountId, Accounts},
    ranges::{Piece, Ranges},
};
use super::StackKey;

/// What is mapped, and by whom.
#[derive(Clone, Debug, Default)]
pub struct Mappings {
    accounts: Accounts,
    ranges: Ranges,
    /// Per thread: what its heap call in flight mapped.
    open: HashMap<u32, OpenCall>,
    /// Per thread: what its remapping in flight took out. Still counted as live.
    taken: HashMap<u32, Taken>,
    /// Rounded up to a page.
    program_break: Option<u64>,
    /// Of the running iteration; the level is that of now.
    totals: MappingTotals,
    /// Iterations that were closed.
    closed: u32,
    unknown_unmapped: u64,
}

/// A heap call that has mapped something and not returned.
#[derive(Clone, Debug)]
struct OpenCall {
    account: AccountId,
    /// Where its pages are.
    ranges: Vec<Range>,
}

#[derive(Clone, Debug)]
struct Taken {
    old: Range,
    pieces: Vec<Piece>,
}

impl Mappings {
    /// Books a change. They come in the order of the ring buffer, those of an epoch before the next one's.
    pub fn apply(&mut self, change: &Change) {
        match change.action {
            Action::Map(range) => {
                self.drop_range(range);
                self.add(change, range);
            }
            Action::Unmap(range) => {
                let known = self.drop_range(range);
                self.unknown_unmapped = self.unknown_unmapped.saturating_add(range.len() - known);
            }
            Action::Take(old) => {
                self.put_back(change.tid);
                let pieces = self.ranges.cut(old);
                self.taken.insert(change.tid, Taken { old, pieces });
            }
            Action::Place { old, new } => self.place(change, old, new),
            Action::Break { old, new } => self.move_break(change, old, new),
            Action::Settle => self.settle(change.tid, change.stack_key()),
        }
    }

    /// The target replaced its image: nothing is mapped any more that we know of.
    pub fn exec(&mut self) {
        self.taken.clear();
        self.ranges = Ranges::default();
        let dropped = self.accounts.drop_live();
        self.totals.debit(dropped);
        self.program_break = None;
        let unknown = StackKey { space: Space(0), stack: StackId::UNKNOWN };
        let threads: Vec<u32> = self.open.keys().copied().collect();
        for tid in threads {
            self.settle(tid, unknown);
        }
    }

    /// What the running iteration has so far.
    pub fn totals(&self) -> MappingTotals {
        self.totals
    }

    /// Ends an iteration. One that is not `partial` ended with a mark, which growth counts to; growth counts
    /// from the end of the one that is the `baseline`, else from the start of the trace.
    pub fn close(&mut self, partial: bool, baseline: bool) {
        self.closed += 1;
        self.totals =
            MappingTotals { live_bytes: self.totals.live_bytes, ..MappingTotals::default() };
        if !partial {
            self.accounts.mark(baseline);
        }
    }

    /// Bytes unmapped of which the trace did not see the mapping: from before it, or by a direct system call.
    pub fn unknown_unmapped_bytes(&self) -> u64 {
        self.unknown_unmapped
    }

    fn place(&mut self, change: &Change, old: Range, new: Option<Range>) {
        let pieces = match self.taken.remove(&change.tid) {
            Some(taken) if taken.old == old => taken.pieces,
            // The first half was lost, and so is its place in the order.
            _ => self.ranges.cut(old),
        };
        let Some(new) = new else { return self.restore(pieces) };
        self.drop_range(new);
        for piece in pieces {
            let (kept, cut) = piece.moved(old, new);
            if let Some(kept) = kept {
                self.ranges.add(kept);
            }
            self.debit(piece.owner, cut);
        }
        let grown = Range::new(new.start.saturating_add(old.len()), new.end);
        match grown {
            Some(grown) => self.add(change, grown),
            None if change.in_heap => drop(self.open_call(change.tid)),
            None => {}
        }
        if let Some(open) = self.open.get_mut(&change.tid) {
            open.ranges.push(new);
        }
    }

    fn move_break(&mut self, change: &Change, old: Option<u64>, new: u64) {
        let known = old.or(self.program_break);
        self.program_break = Some(new);
        // Of a first `brk` nobody knows where the break was.
        let Some(old) = known else { return };
        if let Some(grown) = Range::new(old, new) {
            self.drop_range(grown);
            self.add(change, grown);
        } else if let Some(gone) = Range::new(new, old) {
            let known = self.drop_range(gone);
            self.unknown_unmapped = self.unknown_unmapped.saturating_add(gone.len() - known);
        }
    }

    /// Maps a range that is free.
    fn add(&mut self, change: &Change, range: Range) {
        let owner = if change.in_heap {
            let open = self.open_call(change.tid);
            open.ranges.push(range);
            open.account
        } else {
            self.accounts.of(MappingKey { key: change.stack_key(), by_allocator: false })
        };
        self.ranges.add(Piece { range, owner, born: self.closed + 1 });
        self.accounts.credit(owner, range.len());
        self.totals.credit(range.len());
    }

    /// Unmaps a range. Gives how many bytes of it were known.
    fn drop_range(&mut self, range: Range) -> u64 {
        let pieces = self.ranges.cut(range);
        let mut known = 0;
        for piece in pieces {
            self.debit(piece.owner, piece.range.len());
            known += piece.range.len();
        }
        known
    }

    fn debit(&mut self, owner: AccountId, bytes: u64) {
        self.accounts.debit(owner, bytes);
        self.totals.debit(bytes);
    }

    /// A remapping whose end was never told left things as they were.
    fn put_back(&mut self, tid: u32) {
        if let Some(taken) = self.taken.remove(&tid) {
            self.restore(taken.pieces);
        }
    }

    fn restore(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            self.drop_range(piece.range);
            self.ranges.add(piece);
        }
    }

    fn open_call(&mut self, tid: u32) -> &mut OpenCall {
        let accounts = &mut self.accounts;
        self.open
            .entry(tid)
            .or_insert_with(|| OpenCall { account: accounts.anonymous(), ranges: Vec::new() })
    }

    /// The heap call of a thread returned, and what it mapped has an owner.
    fn settle(&mut self, tid: u32, key: StackKey) {
        let Some(call) = self.open.remove(&tid) else { return };
        let to = self.accounts.of(MappingKey { key, by_allocator: true });
        let taken = self.taken.values_mut().flat_map(|taken| &mut taken.pieces);
        let taken = taken.filter(|piece| piece.owner == call.account);
        let mut given: u64 = taken.map(|piece| piece.reown(to)).sum();
        for range in call.ranges {
            given += self.ranges.reown(range, call.account, to);
        }
        if given < self.accounts.get(call.account).live {
            // Another thread has moved them meanwhile.
            self.ranges.reown(Range { start: 0, end: u64::MAX }, call.account, to);
        }
        self.accounts.merge(call.account, to);
    }
}
