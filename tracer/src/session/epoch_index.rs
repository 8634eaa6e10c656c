//! Which iteration each drained epoch belongs to. Used by `booking`, and at the end by `books` and
//! `python_pools`.

use tracer_common::Epoch;

/// The iterations of the epochs from 0 on, in memory that does not grow with them: mostly each mark ends one epoch and
/// one iteration, so that the two numbers keep their distance for as long as nothing else (an `execve`) cuts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EpochIndex {
    stretches: Vec<Stretch>,
    len: u32,
}

/// Epochs from `first` on; `distance` is iteration minus epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    first: u32,
    distance: i64,
}

impl EpochIndex {
    /// How many epochs were drained; the number of the next one.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// The next epoch belongs to this iteration.
    pub(super) fn push(&mut self, iteration: u32) {
        let distance = i64::from(iteration) - i64::from(self.len);
        if self.stretches.last().is_none_or(|last| last.distance != distance) {
            self.stretches.push(Stretch { first: self.len, distance });
        }
        self.len += 1;
    }

    /// The iteration, from 1, that an epoch belongs to; `None` where it is not drained yet.
    pub(super) fn get(&self, epoch: Epoch) -> Option<u32> {
        if epoch.0 >= self.len {
            return None;
        }
        let after = self.stretches.partition_point(|stretch| stretch.first <= epoch.0);
        let stretch = self.stretches.get(after.checked_sub(1)?)?;
        u32::try_from(i64::from(epoch.0) + stretch.distance).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_what_a_plain_list_would() {
        // Marks, an image replaced in the third iteration, and marks that came after the last one asked for.
        let iterations = [1, 2, 3, 3, 4, 5, 5, 5, 5];
        let mut index = EpochIndex::default();
        for iteration in iterations {
            index.push(iteration);
        }
        let told = (0..iterations.len() as u32).map(|epoch| index.get(Epoch(epoch)));
        assert!(told.eq(iterations.map(Some)));
        assert_eq!(index.get(Epoch(index.len())), None);
        assert_eq!(EpochIndex::default().get(Epoch(0)), None);
    }

    #[test]
    fn marks_alone_take_no_memory() {
        let mut index = EpochIndex::default();
        (1..=100_000).for_each(|iteration| index.push(iteration));
        assert_eq!(index.stretches.len(), 1);
        assert_eq!(index.get(Epoch(99_999)), Some(100_000));
    }
}
