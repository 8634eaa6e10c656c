//! Python's small objects by size class, in the books: a level at each mark where it was read, and growth between two of
//! them. Never added to the heap's figures.

/// How many classes of sizes there are: of up to 16 bytes, 32, and so on to 512.
pub const SIZE_CLASSES: usize = 32;

/// Bytes from one class to the next.
const STEP: u64 = 16;

/// Blocks of Python's own allocator that are in use at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassSample {
    /// How many of each class.
    pub blocks: [u64; SIZE_CLASSES],
    /// Pools that were being changed whenever they were looked at. Their blocks are not among those above.
    pub unread_pools: u64,
}

impl ClassSample {
    /// Bytes that a block of the class takes.
    pub fn block_bytes(class: usize) -> u64 {
        (class as u64 + 1) * STEP
    }
}

/// From one reading to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassGrowth {
    /// The iteration at whose end the first reading was taken; 0: the start of the trace.
    pub from: u32,
    /// And the last one at a mark.
    pub to: u32,
    /// Growth of each class in blocks.
    pub blocks: [i64; SIZE_CLASSES],
}

/// The readings that growth is taken between.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClassBooks {
    first: Option<(u32, ClassSample)>,
    last: Option<(u32, ClassSample)>,
    /// Whenever it was.
    newest: Option<ClassSample>,
}

impl ClassBooks {
    /// A reading at the start of the trace, if one was taken.
    pub(super) fn starting(start: Option<&ClassSample>) -> Self {
        let newest = start.copied();
        Self { first: newest.map(|sample| (0, sample)), last: None, newest }
    }

    /// An iteration ended, and perhaps a reading was taken; with a mark, if `marked`. What was before the `baseline` doesn't
    /// count.
    pub(super) fn end(
        &mut self,
        iteration: u32,
        sample: Option<&ClassSample>,
        marked: bool,
        baseline: bool,
    ) {
        let sample = sample.copied();
        self.newest = sample.or(self.newest);
        if !marked {
            return;
        }
        let taken = sample.map(|sample| (iteration, sample));
        if baseline {
            (self.first, self.last) = (taken, None);
        } else if self.first.is_none() {
            self.first = taken;
        } else {
            self.last = taken.or(self.last);
        }
    }

    /// The last reading.
    pub(super) fn newest(&self) -> Option<&ClassSample> {
        self.newest.as_ref()
    }

    /// From the first reading to the last one at a mark.
    pub(super) fn growth(&self) -> Option<ClassGrowth> {
        let ((from, first), (to, last)) = (self.first?, self.last?);
        let mut blocks = [0; SIZE_CLASSES];
        for (growth, (last, first)) in blocks.iter_mut().zip(last.blocks.iter().zip(first.blocks)) {
            *growth = i64::try_from(i128::from(*last) - i128::from(first)).unwrap_or(0);
        }
        Some(ClassGrowth { from, to, blocks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(blocks: u64) -> ClassSample {
        let mut sample = ClassSample::default();
        sample.blocks[2] = blocks;
        sample
    }

    #[test]
    fn growth_is_taken_from_the_baseline_to_the_last_mark() {
        let mut books = ClassBooks::starting(Some(&sample(5)));
        books.end(1, Some(&sample(50)), true, true);
        assert_eq!(books.growth(), None, "one reading is no growth");
        books.end(2, Some(&sample(70)), true, false);
        books.end(3, None, true, false);
        books.end(4, Some(&sample(1)), false, false);
        let growth = books.growth().expect("two readings");
        assert_eq!((growth.from, growth.to, growth.blocks[2], growth.blocks[3]), (1, 2, 20, 0));
        assert_eq!(books.newest(), Some(&sample(1)));
    }

    #[test]
    fn without_warm_up_it_is_taken_from_the_start_and_may_be_below_nothing() {
        let mut books = ClassBooks::starting(Some(&sample(5)));
        books.end(1, Some(&sample(2)), true, false);
        assert_eq!(books.growth().map(|growth| (growth.from, growth.blocks[2])), Some((0, -3)));
    }

    #[test]
    fn without_a_reading_at_the_baseline_the_next_one_is_the_first() {
        let mut books = ClassBooks::starting(None);
        books.end(1, None, true, true);
        books.end(2, Some(&sample(4)), true, false);
        books.end(3, Some(&sample(9)), true, false);
        assert_eq!(books.growth().map(|growth| (growth.from, growth.blocks[2])), Some((2, 5)));
    }

    #[test]
    fn classes_are_sixteen_bytes_apart() {
        assert_eq!(ClassSample::block_bytes(0), 16);
        assert_eq!(ClassSample::block_bytes(SIZE_CLASSES - 1), 512);
    }
}
