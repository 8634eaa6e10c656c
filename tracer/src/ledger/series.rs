//! One stack's share of every iteration.

use tracer_common::RowCounts;

use super::Amount;

/// What one stack did in one entry of the list of iterations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// The entry's position in [`super::Ledger::iterations`].
    pub entry: u32,
    /// Change of its live memory.
    pub net: Amount,
    /// Bytes allocated.
    pub alloc_bytes: u64,
    /// Blocks allocated.
    pub alloc_blocks: u64,
}

/// Points in order of their entries. Entries in which the stack did nothing have none, so a
/// stack that ran once costs one point however long the trace is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    points: Vec<Point>,
}

impl Series {
    /// The points, oldest first.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    pub(super) fn add(&mut self, entry: u32, counts: &RowCounts) {
        let point = self.at(entry);
        point.net += Amount::net(counts);
        point.alloc_bytes = point.alloc_bytes.saturating_add(counts.alloc_bytes);
        point.alloc_blocks = point.alloc_blocks.saturating_add(counts.alloc_blocks);
    }

    /// Blocks went with their image.
    pub(super) fn drop_live(&mut self, entry: u32, live: Amount) {
        self.at(entry).net -= live;
    }

    /// Follows a thinning of the list of iterations.
    pub(super) fn follow(&mut self, moves: &[u32]) {
        let old = std::mem::take(&mut self.points);
        for next in old {
            let point = self.at(moves[next.entry as usize]);
            point.net += next.net;
            point.alloc_bytes = point.alloc_bytes.saturating_add(next.alloc_bytes);
            point.alloc_blocks = point.alloc_blocks.saturating_add(next.alloc_blocks);
        }
    }

    fn at(&mut self, entry: u32) -> &mut Point {
        if self.points.last().is_none_or(|last| last.entry != entry) {
            self.points.push(Point { entry, ..Point::default() });
        }
        let last = self.points.len() - 1;
        &mut self.points[last]
    }
}
