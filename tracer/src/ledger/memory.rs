//! What the growth of resident memory is made of: the heap's blocks, what the allocator keeps, mappings, the rest.

/// The target's resident memory at one moment, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySample {
    /// All of it.
    pub rss_bytes: u64,
    /// What is not of a file.
    pub anonymous_bytes: u64,
    /// Resident pages by who mapped them; `None` where they were too many to look at.
    pub resident: Option<Resident>,
}

/// Resident pages, in bytes, by who mapped them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// The allocator: what it mapped in the trace, and the program break's heap.
    pub allocator_bytes: u64,
    /// The program itself.
    pub mappings_bytes: u64,
}

/// Resident memory when the trace began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartSample {
    /// The sample.
    pub memory: MemorySample,
    /// The heap's live blocks that the trace had seen by then: a command is traced from before its first instruction on.
    pub live_bytes: i64,
}

/// Why resident memory grew from one sample to another. The parts add up to the growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryParts {
    /// The iteration at whose end the first sample was taken; 0: the start of the trace.
    pub from: u32,
    /// And the last sample.
    pub to: u32,
    /// Growth of resident memory.
    pub growth_bytes: i64,
    /// Growth of the heap's live blocks, as requested.
    pub heap_bytes: i64,
    /// What the allocator has more than that: freed blocks that it keeps, its own headers. Below 0 where blocks were
    /// not touched, or are in memory that was kept before.
    pub retained_bytes: i64,
    /// Pages that the program mapped.
    pub mappings_bytes: i64,
    /// The rest: files, stacks, what was mapped before the trace or by direct system calls.
    pub untraced_bytes: i64,
}

/// The samples that growth is taken between.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MemoryBooks {
    first: Option<Taken>,
    last: Option<Taken>,
}

#[derive(Clone, Copy, Debug)]
struct Taken {
    iteration: u32,
    live_bytes: i64,
    rss: u64,
    resident: Resident,
}

impl MemoryBooks {
    /// A sample at the start of the trace, if one was taken.
    pub(super) fn starting(start: Option<StartSample>) -> Self {
        let first = start.and_then(|start| Taken::new(0, start.live_bytes, start.memory));
        Self { first, last: None }
    }

    /// A mark was made, and perhaps a sample taken. What was before the `baseline` doesn't count.
    pub(super) fn mark(
        &mut self,
        iteration: u32,
        live_bytes: i64,
        sample: Option<MemorySample>,
        baseline: bool,
    ) {
        let taken = sample.and_then(|sample| Taken::new(iteration, live_bytes, sample));
        if baseline {
            *self = Self { first: taken, last: None };
        } else if self.first.is_none() {
            self.first = taken;
        } else {
            self.last = taken.or(self.last);
        }
    }

    /// From the first sample to the last one.
    pub(super) fn parts(&self) -> Option<MemoryParts> {
        let (first, last) = (self.first?, self.last?);
        let change = |of: fn(&Taken) -> u64| {
            let change = i128::from(of(&last)) - i128::from(of(&first));
            i64::try_from(change).unwrap_or(0)
        };
        let growth_bytes = change(|taken| taken.rss);
        let allocator = change(|taken| taken.resident.allocator_bytes);
        let mappings_bytes = change(|taken| taken.resident.mappings_bytes);
        let heap_bytes = last.live_bytes.saturating_sub(first.live_bytes);
        Some(MemoryParts {
            from: first.iteration,
            to: last.iteration,
            growth_bytes,
            heap_bytes,
            retained_bytes: allocator.saturating_sub(heap_bytes),
            mappings_bytes,
            untraced_bytes: growth_bytes.saturating_sub(allocator).saturating_sub(mappings_bytes),
        })
    }
}

impl Taken {
    fn new(iteration: u32, live_bytes: i64, sample: MemorySample) -> Option<Self> {
        let MemorySample { rss_bytes: rss, resident, .. } = sample;
        resident.map(|resident| Self { iteration, live_bytes, rss, resident })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "as the books take it")]
    fn sample(rss: u32, allocator: u32, mappings: u32) -> Option<MemorySample> {
        let resident =
            Resident { allocator_bytes: allocator.into(), mappings_bytes: mappings.into() };
        Some(MemorySample { rss_bytes: rss.into(), anonymous_bytes: 0, resident: Some(resident) })
    }

    fn start() -> Option<StartSample> {
        sample(100, 10, 0).map(|memory| StartSample { memory, live_bytes: 7 })
    }

    #[test]
    fn growth_is_taken_from_the_baseline_to_the_last_sample() {
        let mut books = MemoryBooks::starting(start());
        books.mark(1, 50, sample(300, 60, 5), true);
        assert_eq!(books.parts(), None, "one sample is no growth");
        books.mark(2, 70, sample(340, 90, 7), false);
        books.mark(3, 90, None, false);
        let parts = books.parts().expect("two samples");
        assert_eq!((parts.from, parts.to, parts.growth_bytes), (1, 2, 40));
        let named =
            (parts.heap_bytes, parts.retained_bytes, parts.mappings_bytes, parts.untraced_bytes);
        assert_eq!(named, (20, 10, 2, 8));
    }

    #[test]
    fn without_warm_up_it_is_taken_from_the_start() {
        let mut books = MemoryBooks::starting(start());
        books.mark(1, 50, sample(300, 60, 5), false);
        let parts = books.parts().expect("two samples");
        assert_eq!((parts.from, parts.heap_bytes, parts.retained_bytes), (0, 43, 7));
    }

    #[test]
    fn without_a_sample_at_the_baseline_the_next_one_is_the_first() {
        let mut books = MemoryBooks::starting(start());
        books.mark(1, 50, None, true);
        books.mark(2, 70, sample(340, 90, 7), false);
        assert_eq!(books.parts(), None);
        books.mark(3, 80, sample(350, 95, 7), false);
        assert_eq!(books.parts().map(|parts| (parts.from, parts.growth_bytes)), Some((2, 10)));
    }

    #[test]
    fn a_sample_without_owners_is_none() {
        let mut books = MemoryBooks::starting(start());
        let unknown = sample(5, 0, 0).map(|sample| MemorySample { resident: None, ..sample });
        books.mark(1, 0, unknown, false);
        assert_eq!(books.parts(), None);
    }

    proptest! {
        #[test]
        fn the_parts_add_up(a: [u32; 3], b: [u32; 3], from: i32, to: i32) {
            let mut books = MemoryBooks::starting(None);
            books.mark(1, from.into(), sample(a[0], a[1], a[2]), false);
            books.mark(2, to.into(), sample(b[0], b[1], b[2]), false);
            let parts = books.parts().expect("two samples");
            let sum = parts.heap_bytes + parts.retained_bytes + parts.mappings_bytes + parts.untraced_bytes;
            prop_assert_eq!(sum, parts.growth_bytes);
            prop_assert_eq!(parts.growth_bytes, i64::from(b[0]) - i64::from(a[0]));
        }
    }
}
