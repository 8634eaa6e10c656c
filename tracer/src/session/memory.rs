//! Reading the target's resident memory at marks, and how often: exact figures make the kernel walk its page tables with
//! a lock held (37 ms for 2 GiB, measured), so they are taken less often the longer they take.

use std::time::{Duration, Instant};

use crate::{
    ledger::{
        MemorySample, Resident, StartSample,
        mappings::{Mappings, Range},
    },
    target::Process,
};

/// Between two readings, at least.
const SHORTEST: Duration = Duration::from_millis(100);

/// A reading may take this part of the time.
const SHARE: u32 = 50;

/// Address space that is looked at page by page: 32 MiB are read for it.
const MOST_BYTES: u64 = 16 << 30;

/// When memory was read, and what that took.
#[derive(Debug, Default)]
pub(super) struct MemoryReader {
    last: Option<(Instant, Duration)>,
    pub(super) first: Option<StartSample>,
}

impl MemoryReader {
    /// Reads it at the start of the trace, which has seen so many live bytes.
    pub(super) fn starting(process: &Process, live_bytes: i64) -> Self {
        let mut reader = Self::default();
        let memory = reader.sample(process, &Mappings::default(), true);
        reader.first = memory.map(|memory| StartSample { memory, live_bytes });
        reader
    }

    /// Reads it, unless it was read a moment ago; `needed`: whether or not. `None` where it isn't read or can't be.
    pub(super) fn sample(
        &mut self,
        process: &Process,
        mappings: &Mappings,
        needed: bool,
    ) -> Option<MemorySample> {
        let due = self.last.is_none_or(|(at, took)| at.elapsed() >= SHORTEST.max(took * SHARE));
        if !due && !needed {
            return None;
        }
        let start = Instant::now();
        let resident = resident(process, mappings);
        let sample = process.exact_rss().map(|(rss_bytes, anonymous_bytes)| MemorySample {
            rss_bytes,
            anonymous_bytes,
            resident,
        });
        self.last = Some((Instant::now(), start.elapsed()));
        tracing::debug!("resident memory read in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
        sample
    }
}

fn resident(process: &Process, mappings: &Mappings) -> Option<Resident> {
    let pages = process.pages()?;
    let mut ranges = mappings.ranges();
    if let Some((start, end)) = process.heap_range() {
        ranges.extend(gaps(&ranges, start, end).into_iter().map(|gap| (gap, true)));
    }
    let all = ranges.iter().fold(0_u64, |sum, (range, _)| sum.saturating_add(range.len()));
    if all > MOST_BYTES {
        return None;
    }
    let mut sum = Resident::default();
    for (range, by_allocator) in ranges {
        let bytes = pages.resident(range.start, range.end)?;
        if by_allocator { sum.allocator_bytes += bytes } else { sum.mappings_bytes += bytes }
    }
    Some(sum)
}

/// What of `start..end` is in none of the ranges, which are in order.
fn gaps(ranges: &[(Range, bool)], start: u64, end: u64) -> Vec<Range> {
    let (mut gaps, mut at) = (Vec::new(), start);
    for (range, _) in ranges.iter().filter(|(range, _)| range.end > start && range.start < end) {
        gaps.extend(Range::new(at, range.start));
        at = range.end;
    }
    gaps.extend(Range::new(at, end));
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_lies_between() {
        let range = |start, end| Range::new(start, end).expect("not empty");
        let ranges = [(range(0, 4), true), (range(8, 12), false), (range(20, 30), true)];
        assert_eq!(gaps(&ranges, 2, 24), [range(4, 8), range(12, 20)]);
        assert_eq!(gaps(&ranges, 30, 33), [range(30, 33)]);
        assert_eq!(gaps(&ranges, 21, 29), []);
    }
}
