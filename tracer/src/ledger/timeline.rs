//! The list of iterations, and its thinning.

use super::Iteration;

/// Iterations that are kept one by one. Beyond, neighbours are merged; every total stays exact.
pub const KEPT_ITERATIONS: usize = 10_000;

/// All iterations so far, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    entries: Vec<Iteration>,
    /// How many iterations an entry may stand for.
    stride: u32,
    limit: usize,
}

impl Timeline {
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: Vec::new(), stride: 1, limit: limit.max(1) }
    }

    pub(super) fn entries(&self) -> &[Iteration] {
        &self.entries
    }

    /// The position of the entry that will hold `iteration` once it is pushed.
    pub(super) fn position(&self, iteration: &Iteration) -> u32 {
        let merges = self.entries.last().is_some_and(|last| last.takes(iteration, self.stride));
        self.entries.len() as u32 - u32::from(merges)
    }

    /// Appends an iteration.
    pub(super) fn push(&mut self, iteration: Iteration) {
        match self.entries.last_mut() {
            Some(last) if last.takes(&iteration, self.stride) => last.absorb(iteration),
            Some(last) => {
                last.partial = false; // a mark followed after all
                self.entries.push(iteration);
            }
            None => self.entries.push(iteration),
        }
    }

    /// Merges neighbours if there are too many entries. Returns where each entry went.
    pub(super) fn thin(&mut self) -> Option<Vec<u32>> {
        let marked = |entries: &[Iteration]| entries.iter().filter(|i| !i.partial).count();
        if self.entries.len() <= self.limit || marked(&self.entries) <= self.limit {
            return None;
        }
        let mut moves: Vec<u32> = (0..self.entries.len() as u32).collect();
        while marked(&self.entries) > self.limit {
            let before = self.entries.len();
            self.stride = self.stride.saturating_mul(2);
            let step = self.merge();
            for to in &mut moves {
                *to = step[*to as usize];
            }
            if self.entries.len() == before && self.stride == u32::MAX {
                break; // warm-up and measured time never become one
            }
        }
        Some(moves)
    }

    fn merge(&mut self) -> Vec<u32> {
        let old = std::mem::take(&mut self.entries);
        let mut moves = Vec::with_capacity(old.len());
        for next in old {
            match self.entries.last_mut() {
                Some(last) if last.takes(&next, self.stride) => last.absorb(next),
                _ => self.entries.push(next),
            }
            moves.push(self.entries.len() as u32 - 1);
        }
        moves
    }
}
