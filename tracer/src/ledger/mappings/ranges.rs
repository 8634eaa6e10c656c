//! Who has which pages: ranges that don't overlap.

use std::collections::BTreeMap;

use super::{Range, account::AccountId};

/// A range of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: Range,
    pub(super) owner: AccountId,
    /// The iteration that it was mapped in, from 1.
    pub(super) born: u32,
}

impl Piece {
    /// Gives it to another, and says how many bytes that is.
    pub(super) fn reown(&mut self, to: AccountId) -> u64 {
        self.owner = to;
        self.range.len()
    }

    /// The part that a remapping from `old` to `new` keeps, at its new place, and how many bytes it cuts off.
    pub(super) fn moved(&self, old: Range, new: Range) -> (Option<Self>, u64) {
        let at = |address: u64| new.start.saturating_add(address - old.start);
        let end = at(self.range.end).min(new.end);
        let kept = Range::new(at(self.range.start), end).map(|range| Self { range, ..*self });
        (kept, self.range.len() - kept.map_or(0, |kept| kept.range.len()))
    }
}

/// All pieces, by their starts.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges {
    pieces: BTreeMap<u64, Piece>,
}

impl Ranges {
    /// Adds a piece to where nothing is.
    pub(super) fn add(&mut self, piece: Piece) {
        self.pieces.insert(piece.range.start, piece);
    }

    /// Takes out whatever lies within a range. A piece that reaches beyond it is split.
    pub(super) fn cut(&mut self, range: Range) -> Vec<Piece> {
        self.split(range.start);
        self.split(range.end);
        let starts: Vec<u64> =
            self.pieces.range(range.start..range.end).map(|(start, _)| *start).collect();
        starts.iter().filter_map(|start| self.pieces.remove(start)).collect()
    }

    /// Gives what one owner has within a range to another, and says how many bytes that is.
    pub(super) fn reown(&mut self, range: Range, from: AccountId, to: AccountId) -> u64 {
        let pieces = self.pieces.range_mut(range.start..range.end).map(|(_, piece)| piece);
        pieces.filter(|piece| piece.owner == from).map(|piece| piece.reown(to)).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.values()
    }

    fn split(&mut self, at: u64) {
        let Some((_, piece)) = self.pieces.range_mut(..at).next_back() else { return };
        if let Some(rest) = Range::new(at, piece.range.end) {
            piece.range.end = at;
            let rest = Piece { range: rest, ..*piece };
            self.pieces.insert(at, rest);
        }
    }
}
