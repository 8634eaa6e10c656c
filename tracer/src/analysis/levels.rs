//! Live bytes at the marks, and what their order says. Used by `verdict`.
//!
//! No figure here is absolute: a leak of 16 bytes in each iteration is one, and 1 MiB more or less is noise where the
//! level goes up and down by 2 MiB. What counts is how a series behaves compared with itself.

/// Fewer steps up than this are no habit.
const FEWEST_STEPS: usize = 3;

/// Standard deviations by which rising pairs of marks must outnumber falling ones.
const SIGNIFICANT: i64 = 2;

/// The pace in the last third that still is growth, as a part of the pace before.
const STILL_GROWING: f64 = 0.25;

/// A new high is a climb if it is at least this part of the whole range above the last climb.
const CLIMB: f64 = 0.1;

/// A rise that is a smaller part of the highest level than this is noise, where falls make up a quarter of the rises.
pub(super) const NOISE_FLOOR: f64 = 0.05;

/// What the last third may add to a rise that has settled, as a part of it.
const SETTLED: f64 = 0.05;

/// Live bytes at the baseline and at each mark after it, at evenly spaced ones if there are many.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Levels(Vec<f64>);

impl Levels {
    pub(super) fn new(levels: Vec<f64>) -> Self {
        Self(levels)
    }

    /// How much the level rose in the last `marks` before the last third.
    pub(super) fn rise_before_last_third(&self, marks: usize) -> f64 {
        let end = self.last_third() - 1;
        self.0[end] - self.0[end.saturating_sub(marks)]
    }

    /// Whether the rise is too small a part of the level to stand out from the ups and downs. The first
    /// iteration fills what is empty in the beginning, and is none of them.
    pub(super) fn drown(&self) -> bool {
        let (gains, losses) = movements(self.0.get(1..).unwrap_or_default());
        losses * 4.0 > gains && gains - losses < NOISE_FLOOR * highest(&self.0)
    }

    /// Whether they keep climbing: more in order than chance would have it, at a pace that has not died down, and
    /// without a pause at the end that is longer than the pauses before.
    pub(super) fn keep_climbing(&self) -> bool {
        let smooth = self.smooth();
        self.in_order() && smooth.keep_pace() && !smooth.pause()
    }

    /// The same, setting the one iteration aside that added most: initialization, or a burst, towers above a leak.
    pub(super) fn keep_climbing_but_for_one(&self) -> bool {
        self.without_largest_gain().keep_climbing()
    }

    /// Whether they rose often enough to call it a habit.
    pub(super) fn rise_repeatedly(&self) -> bool {
        let rises = self.0.windows(2).filter(|pair| pair[0] < pair[1]);
        rises.count() >= FEWEST_STEPS
    }

    /// Whether they rose and then stayed: hardly a new high in the last third, and the last climb longer ago than
    /// the pauses between climbs were long.
    pub(super) fn have_settled(&self) -> bool {
        let (before, last) = self.rises();
        before > 0.0 && last <= SETTLED * before && self.pause()
    }

    /// Whether they went up and down and came back to where they began: to within half the width of the band that they
    /// moved in during the last half.
    pub(super) fn came_back(&self) -> bool {
        let (gains, losses) = movements(&self.0);
        let half = &self.0[self.0.len() / 2..];
        let (lowest, highest) = (lowest(half), highest(half));
        let margin = (highest - lowest) / 2.0;
        let first = self.first();
        // One way only is no noise, whatever the band.
        gains.min(losses) * 2.0 >= gains.max(losses)
            && (lowest - margin..=highest + margin).contains(&first)
    }

    /// Whether no mark is lower than the one before.
    pub(super) fn never_fall(&self) -> bool {
        self.0.windows(2).all(|pair| pair[0] <= pair[1])
    }

    /// How far the highest mark of the last third is above the middle third's median.
    pub(super) fn last_over_middle(&self) -> f64 {
        let from = self.last_third();
        let third = self.0.len() - from;
        let mut middle = self.0[from.saturating_sub(third).max(1).min(from - 1)..from].to_vec();
        middle.sort_unstable_by(f64::total_cmp);
        highest(&self.0[from..]) - middle[middle.len() / 2]
    }

    /// Kendall's test for a trend: it asks only which of two marks is higher, so no single one can tip it.
    fn in_order(&self) -> bool {
        let mut score = 0;
        for (at, level) in self.0.iter().enumerate() {
            for later in &self.0[at + 1..] {
                score += i64::from(later > level) - i64::from(later < level);
            }
        }
        let count = self.0.len() as i64;
        let variance_by_18 = count * (count - 1) * (2 * count + 5);
        score > 0 && score * score * 18 >= SIGNIFICANT * SIGNIFICANT * variance_by_18
    }

    fn keep_pace(&self) -> bool {
        let from = self.last_third();
        let (before, last) = self.rises();
        let (marks_before, marks_last) = ((from - 1) as f64, (self.0.len() - from) as f64);
        last > 0.0 && last / marks_last >= STILL_GROWING * before.max(0.0) / marks_before.max(1.0)
    }

    /// How far the highest mark before the last third is above the first one, and that of the last third above it.
    fn rises(&self) -> (f64, f64) {
        let (before, last) = self.0.split_at(self.last_third());
        let top = highest(before);
        (top - self.first(), highest(last) - top)
    }

    /// Whether the last climb is more than twice as long ago as the longest pause between climbs took. Twice, because an
    /// array that doubles whenever it is full makes each pause twice as long as the one before.
    fn pause(&self) -> bool {
        let first = self.first();
        let climb = CLIMB * (highest(&self.0) - first);
        if climb <= 0.0 {
            return true;
        }
        let (mut level, mut last, mut longest) = (first, None, 1);
        for (at, reached) in self.0.iter().enumerate() {
            if reached - level >= climb {
                longest = last.map_or(longest, |last: usize| longest.max(at - last));
                (level, last) = (*reached, Some(at));
            }
        }
        let since = self.0.len() - 1 - last.unwrap_or(0);
        since > 2 * longest
    }

    /// Medians of three: an odd mark vanishes, a step or a slope stays.
    fn smooth(&self) -> Self {
        let levels = &self.0;
        let mut smooth = levels.clone();
        for (at, three) in levels.windows(3).enumerate() {
            smooth[at + 1] = median(three[0], three[1], three[2]);
        }
        // The last one has no successor: what the two before it lead to expect stands in for it.
        if let [.., one, other, last] = smooth.as_mut_slice() {
            *last = median(*last, *other, 3.0 * *other - 2.0 * *one);
        }
        Self(smooth)
    }

    fn without_largest_gain(&self) -> Self {
        let gains = self.0.windows(2).map(|pair| pair[1] - pair[0]).enumerate();
        let Some((at, gain)) = gains.max_by(|a, b| a.1.total_cmp(&b.1)) else {
            return self.clone();
        };
        let (before, after) = (&self.0[..=at], &self.0[at + 2..]);
        Self(before.iter().copied().chain(after.iter().map(|level| level - gain)).collect())
    }

    /// The first mark of the last third of the iterations.
    fn last_third(&self) -> usize {
        let iterations = self.0.len() - 1;
        1 + iterations - iterations.div_ceil(3)
    }

    fn first(&self) -> f64 {
        self.0.first().copied().unwrap_or(0.0)
    }
}

/// Sums of all steps up and of all steps down.
fn movements(levels: &[f64]) -> (f64, f64) {
    let steps = levels.windows(2).map(|pair| pair[1] - pair[0]);
    steps.fold((0.0, 0.0), |(gains, losses), step| {
        (gains + f64::max(step, 0.0), losses + f64::max(-step, 0.0))
    })
}

fn median(one: f64, two: f64, three: f64) -> f64 {
    one.min(two).max(one.max(two).min(three))
}

fn highest(levels: &[f64]) -> f64 {
    levels.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn lowest(levels: &[f64]) -> f64 {
    levels.iter().copied().fold(f64::INFINITY, f64::min)
}
