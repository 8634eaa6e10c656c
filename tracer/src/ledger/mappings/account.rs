//! What each stack mapped.

use std::collections::BTreeMap;

use crate::ledger::StackKey;

/// Whose mappings an account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MappingKey {
    /// Who called: the mapping function, or the heap function that called it.
    pub key: StackKey,
    /// Whether a heap function mapped it, to have something to hand out.
    pub by_allocator: bool,
}

/// Sums over all stacks, of one iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MappingTotals {
    /// Bytes mapped.
    pub mapped_bytes: u64,
    /// Bytes unmapped, of those whose mapping the trace saw; also by an `execve`.
    pub unmapped_bytes: u64,
    /// Bytes mapped at the end.
    pub live_bytes: u64,
}

impl MappingTotals {
    /// Makes one of these and the ones of the iteration that follows.
    pub(in crate::ledger) fn absorb(&mut self, next: Self) {
        self.mapped_bytes = self.mapped_bytes.saturating_add(next.mapped_bytes);
        self.unmapped_bytes = self.unmapped_bytes.saturating_add(next.unmapped_bytes);
        self.live_bytes = next.live_bytes;
    }

    pub(super) fn credit(&mut self, bytes: u64) {
        self.mapped_bytes = self.mapped_bytes.saturating_add(bytes);
        self.live_bytes += bytes;
    }

    pub(super) fn debit(&mut self, bytes: u64) {
        self.unmapped_bytes = self.unmapped_bytes.saturating_add(bytes);
        self.live_bytes -= bytes;
    }
}

/// The books of one stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) mapped: u64,
    pub(super) unmapped: u64,
    pub(super) live: u64,
    pub(super) baseline: u64,
    pub(super) at_mark: u64,
}

impl Account {
    pub(super) fn add(&mut self, other: &Self) {
        self.mapped = self.mapped.saturating_add(other.mapped);
        self.unmapped = self.unmapped.saturating_add(other.unmapped);
        self.live += other.live;
        self.baseline += other.baseline;
        self.at_mark += other.at_mark;
    }
}

/// Names an account. Short, because every range has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct AccountId(u32);

/// All accounts.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    list: Vec<Account>,
    by_key: BTreeMap<MappingKey, AccountId>,
    /// Merged ones, to be used again.
    free: Vec<AccountId>,
}

impl Accounts {
    /// The account of a stack.
    pub(super) fn of(&mut self, key: MappingKey) -> AccountId {
        if let Some(&id) = self.by_key.get(&key) {
            return id;
        }
        let id = self.anonymous();
        self.by_key.insert(key, id);
        id
    }

    /// An account whose owner is not known yet.
    pub(super) fn anonymous(&mut self) -> AccountId {
        self.free.pop().unwrap_or_else(|| {
            self.list.push(Account::default());
            AccountId(self.list.len() as u32 - 1)
        })
    }

    pub(super) fn get(&self, id: AccountId) -> &Account {
        &self.list[id.0 as usize]
    }

    /// The accounts that have a stack, in order of their keys.
    pub(super) fn by_key(&self) -> impl Iterator<Item = (MappingKey, AccountId)> {
        self.by_key.iter().map(|(&key, &id)| (key, id))
    }

    pub(super) fn credit(&mut self, id: AccountId, bytes: u64) {
        let account = &mut self.list[id.0 as usize];
        account.mapped = account.mapped.saturating_add(bytes);
        account.live += bytes;
    }

    pub(super) fn debit(&mut self, id: AccountId, bytes: u64) {
        let account = &mut self.list[id.0 as usize];
        account.unmapped = account.unmapped.saturating_add(bytes);
        account.live -= bytes;
    }

    /// Makes one account's books another's.
    pub(super) fn merge(&mut self, from: AccountId, to: AccountId) {
        let books = std::mem::take(&mut self.list[from.0 as usize]);
        self.list[to.0 as usize].add(&books);
        self.free.push(from);
    }

    /// Everything live is gone. Gives how much that was.
    pub(super) fn drop_live(&mut self) -> u64 {
        let mut dropped = 0;
        for at in 0..self.list.len() {
            let live = self.list[at].live;
            self.debit(AccountId(at as u32), live);
            dropped += live;
        }
        dropped
    }

    /// A mark was made; with `baseline`, growth counts from it.
    pub(super) fn mark(&mut self, baseline: bool) {
        for account in &mut self.list {
            account.at_mark = account.live;
            if baseline {
                account.baseline = account.at_mark;
            }
        }
    }
}
