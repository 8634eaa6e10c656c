//! From a stack's series to its verdict.

use super::{
    Cohort, Verdict,
    cohorts::Survival,
    levels::Levels,
    slope::{MOST_MARKS, cautious, median_iteration, theil_sen},
    verdict::Shape,
};
use crate::ledger::{Amount, Iteration};

/// How a stack's live bytes moved over the measured iterations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// The shape.
    pub verdict: Verdict,
    /// Robust slope, in bytes per iteration.
    pub bytes_per_iteration: f64,
}

/// What a stack did in one measured iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The position of the iteration among the measured ones.
    pub at: usize,
    /// Change of its live memory.
    pub net: Amount,
    /// Blocks allocated.
    pub alloc_blocks: u64,
}

/// What is known of a stack.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// The measured iterations, from the first on.
    pub iterations: &'a [Iteration],
    /// What it did, in order; iterations in which it did nothing may be left out.
    pub steps: &'a [Step],
    /// Live before the first measured iteration.
    pub baseline: Amount,
    /// Live at the end of the run, which may be later than the last mark.
    pub live: Amount,
    /// Live blocks at the end of the run, by birth, oldest first. Where they aren't those of `live` they aren't
    /// believed.
    pub cohorts: &'a [Cohort],
}

/// The trend of a stack. Costs time in proportion to its steps, not to the iterations.
pub fn trend(history: &History<'_>) -> Trend {
    let bytes = marks(history, |amount| amount.bytes);
    let shape = shape(history, &bytes);
    let verdict = shape.verdict();
    let by_marks = theil_sen(&bytes);
    let slope = cautious(median_of_iterations(history), by_marks);
    let bytes_per_iteration = if verdict != Verdict::Growing || slope > 0.0 {
        slope
    } else if shape.hides_a_leak() {
        shape.survival.map_or(0.0, |survival| survival.per_iteration())
    } else {
        by_marks.max(0.0) // growth in steps: most iterations have none
    };
    Trend { verdict, bytes_per_iteration }
}

fn median_of_iterations(history: &History<'_>) -> f64 {
    let History { iterations, steps, .. } = *history;
    let changed: u32 = steps.iter().map(|step| iterations[step.at].merged).sum();
    let rates = steps.iter().map(|step| {
        let merged = iterations[step.at].merged;
        (step.net.bytes as f64 / f64::from(merged), merged)
    });
    median_iteration(rates.collect(), measured(iterations) - changed)
}

fn shape(history: &History<'_>, bytes: &[(f64, f64)]) -> Shape {
    let History { iterations, steps, baseline, live, cohorts } = *history;
    let (mut net, mut highest) = (Amount::ZERO, baseline.bytes);
    let (mut gains, mut largest_gain) = (0_i64, 0);
    for step in steps {
        net += step.net;
        highest = highest.max((baseline + net).bytes);
        gains = gains.saturating_add(step.net.bytes.max(0));
        largest_gain = largest_gain.max(step.net.bytes);
    }
    let known = cohorts.iter().fold(0_u64, |sum, cohort| sum.saturating_add(cohort.blocks));
    let believed = i64::try_from(known) == Ok(live.blocks);
    let levels =
        |marks: &[(f64, f64)]| Levels::new(marks.iter().map(|(_, level)| *level).collect());
    Shape {
        iterations: measured(iterations),
        net: net.bytes,
        gains,
        largest_gain,
        highest,
        levels: levels(bytes),
        blocks: levels(&marks(history, |amount| amount.blocks)),
        survival: believed.then(|| Survival::new(iterations, steps, cohorts)),
        torn_down: live.blocks.saturating_mul(2) < (baseline + net).blocks,
    }
}

/// Live at evenly spaced marks, the baseline first, each with the iterations before it.
fn marks(history: &History<'_>, of: fn(Amount) -> i64) -> Vec<(f64, f64)> {
    let iterations = history.iterations;
    let first = first_index(iterations);
    let count = (iterations.len() + 1).min(MOST_MARKS);
    let mut steps = history.steps.iter().peekable();
    let mut live = history.baseline;
    (0..count)
        .map(|sample| {
            // Mark 0 is the baseline; mark n the end of the n-th iteration.
            let mark = sample * iterations.len() / (count - 1).max(1);
            while let Some(step) = steps.next_if(|step| step.at < mark) {
                live += step.net;
            }
            let end = mark
                .checked_sub(1)
                .map_or(0, |at| iterations[at].index + iterations[at].merged - first);
            (f64::from(end), of(live) as f64)
        })
        .collect()
}

fn measured(iterations: &[Iteration]) -> u32 {
    iterations.last().map_or(0, |last| last.index + last.merged - first_index(iterations))
}

fn first_index(iterations: &[Iteration]) -> u32 {
    iterations.first().map_or(1, |first| first.index)
}
