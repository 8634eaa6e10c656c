//! What a report reads.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use tracer_common::{Space, StackId};

use super::{MappingKey, Mappings, Range, account::Account};
use crate::ledger::StackKey;

/// What one stack mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedStack {
    /// Who.
    pub key: MappingKey,
    /// Bytes mapped since the start of the trace.
    pub mapped_bytes: u64,
    /// Bytes of these that were unmapped.
    pub unmapped_bytes: u64,
    /// Bytes that are mapped.
    pub live_bytes: u64,
    /// From the baseline to the last mark.
    pub growth_bytes: i64,
    /// Live bytes by the iteration of their birth, oldest first.
    pub survivors: Vec<(u32, u64)>,
}

impl Mappings {
    /// What is mapped, in order, and whether the allocator mapped it.
    pub fn ranges(&self) -> Vec<(Range, bool)> {
        let own = self.accounts.by_key().filter(|(key, _)| !key.by_allocator);
        let own: BTreeSet<_> = own.map(|(_, id)| id).collect();
        self.ranges.iter().map(|piece| (piece.range, !own.contains(&piece.owner))).collect()
    }

    /// Every stack that mapped something: by growth, then live bytes, then key.
    pub fn stacks(&self) -> Vec<MappedStack> {
        let mut survivors: BTreeMap<_, BTreeMap<u32, u64>> = BTreeMap::new();
        let taken = self.taken.values().flat_map(|taken| &taken.pieces);
        for piece in self.ranges.iter().chain(taken) {
            let cohorts = survivors.entry(piece.owner).or_default();
            *cohorts.entry(piece.born).or_default() += piece.range.len();
        }
        let mut sums: BTreeMap<MappingKey, (Account, BTreeMap<u32, u64>)> = BTreeMap::new();
        // A heap call that has not returned has no stack.
        let key = StackKey { space: Space(0), stack: StackId::UNKNOWN };
        let unknown = MappingKey { key, by_allocator: true };
        let open = self.open.values().map(|call| (unknown, call.account));
        for (key, id) in self.accounts.by_key().chain(open) {
            let (account, cohorts) = sums.entry(key).or_default();
            account.add(self.accounts.get(id));
            for (born, bytes) in survivors.remove(&id).unwrap_or_default() {
                *cohorts.entry(born).or_default() += bytes;
            }
        }
        let mut stacks: Vec<_> = sums
            .into_iter()
            .filter(|(_, (account, _))| account.mapped > 0)
            .map(|(key, (account, cohorts))| MappedStack {
                key,
                mapped_bytes: account.mapped,
                unmapped_bytes: account.unmapped,
                live_bytes: account.live,
                growth_bytes: account.at_mark as i64 - account.baseline as i64,
                survivors: cohorts.into_iter().collect(),
            })
            .collect();
        stacks.sort_by_key(|stack| {
            (Reverse(stack.growth_bytes), Reverse(stack.live_bytes), stack.key)
        });
        stacks
    }
}
