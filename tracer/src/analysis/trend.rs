//! From a stack's series to its verdict.

use super::{
    Verdict,
    slope::{MOST_MARKS, cautious, median_iteration, theil_sen},
    verdict::Shape,
};
use crate::ledger::Iteration;

/// How a stack's live bytes moved over the measured iterations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// The shape.
    pub verdict: Verdict,
    /// Robust slope, in bytes per iteration.
    pub bytes_per_iteration: f64,
}

/// The trend of a stack.
///
/// `iterations` are the measured ones, from the first on; `nets` the changes in bytes of those in which the stack
/// changed, as (position in `iterations`, bytes), in order; `baseline` its live bytes before the first.
/// Costs time in proportion to `nets`, not to `iterations`.
pub fn trend(iterations: &[Iteration], nets: &[(usize, i64)], baseline: i64) -> Trend {
    let shape = shape(iterations, nets, baseline);
    let bytes_per_iteration = if nets.is_empty() {
        0.0
    } else {
        let changed: u32 = nets.iter().map(|(at, _)| iterations[*at].merged).sum();
        let rate = |&(at, net): &(usize, i64)| {
            let merged = iterations[at].merged;
            (net as f64 / f64::from(merged), merged)
        };
        cautious(
            median_iteration(nets.iter().map(rate).collect(), shape.iterations - changed),
            theil_sen(&marks(iterations, nets)),
        )
    };
    Trend { verdict: shape.verdict(), bytes_per_iteration }
}

fn shape(iterations: &[Iteration], nets: &[(usize, i64)], baseline: i64) -> Shape {
    let first = first_index(iterations);
    let total = iterations.last().map_or(0, |last| last.index + last.merged - first);
    let last_third = first + total - total.div_ceil(3);
    let mut shape = Shape { iterations: total, highest: baseline, ..Shape::default() };
    for &(position, net) in nets {
        let iteration = &iterations[position];
        shape.net = shape.net.saturating_add(net);
        shape.highest = shape.highest.max(baseline.saturating_add(shape.net));
        if net > 0 {
            shape.grew += iteration.merged;
            shape.gains = shape.gains.saturating_add(net);
            shape.largest_gain = shape.largest_gain.max(net);
        }
        if iteration.index + iteration.merged > last_third {
            shape.last_third = shape.last_third.saturating_add(net);
        }
    }
    shape
}

/// Live bytes over the baseline at evenly spaced marks, the baseline first.
fn marks(iterations: &[Iteration], nets: &[(usize, i64)]) -> Vec<(f64, f64)> {
    let first = first_index(iterations);
    let count = (iterations.len() + 1).min(MOST_MARKS);
    let mut nets = nets.iter().peekable();
    let mut live = 0_i64;
    (0..count)
        .map(|sample| {
            // Mark 0 is the baseline; mark n the end of the n-th iteration.
            let mark = sample * iterations.len() / (count - 1).max(1);
            while let Some((_, net)) = nets.next_if(|(position, _)| *position < mark) {
                live = live.saturating_add(*net);
            }
            let end = mark
                .checked_sub(1)
                .map_or(0, |at| iterations[at].index + iterations[at].merged - first);
            (f64::from(end), live as f64)
        })
        .collect()
}

fn first_index(iterations: &[Iteration]) -> u32 {
    iterations.first().map_or(1, |first| first.index)
}
