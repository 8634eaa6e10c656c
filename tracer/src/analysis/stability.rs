//! Whether anything still grows: what `--until-stable` waits for. Asked after each iteration, so it looks at the last
//! two only, and at the rest of a series where these rose.

use super::levels::NOISE_FLOOR;
use crate::ledger::{Iteration, Ledger, StackKey, StackView};

/// Fewer measured iterations than this can't have grown twice.
pub const FEWEST_TO_BE_STABLE: usize = 2;

/// Whether no stack grew twice running; `None` before that can be told.
pub fn is_stable(ledger: &Ledger) -> Option<bool> {
    let pair = last_two(ledger)?;
    Some(!ledger.stacks().any(|stack| grew_in(&stack, pair, ledger)))
}

/// The stacks whose live bytes grew in each of the last two measured iterations, above the noise, in order of their
/// keys.
pub fn still_growing(ledger: &Ledger) -> Vec<StackKey> {
    let Some(pair) = last_two(ledger) else { return Vec::new() };
    let growing = ledger.stacks().filter(|stack| grew_in(stack, pair, ledger));
    growing.map(|stack| stack.key()).collect()
}

/// The positions of the last two measured entries.
fn last_two(ledger: &Ledger) -> Option<[u32; 2]> {
    let mut measured = ledger.iterations().iter().enumerate().rev().filter(|(_, i)| i.measured());
    let (last, before) = (measured.next()?.0, measured.next()?.0);
    Some([before, last].map(|at| at as u32))
}

fn grew_in(stack: &StackView<'_>, pair: [u32; 2], ledger: &Ledger) -> bool {
    let points = stack.series().points();
    let rise = |entry: u32| {
        let found = points.binary_search_by_key(&entry, |point| point.entry).ok()?;
        Some(points[found].net.bytes).filter(|bytes| *bytes > 0)
    };
    match pair.map(rise) {
        [Some(before), Some(last)] => !is_noise(stack, before.saturating_add(last), ledger),
        _ => false,
    }
}

/// Whether a rise is too small to stand out from the ups and downs. The first measured iteration fills what is empty,
/// and is none of them.
fn is_noise(stack: &StackView<'_>, rise: i64, ledger: &Ledger) -> bool {
    let iterations = ledger.iterations();
    let first = iterations.iter().position(Iteration::measured).unwrap_or_default();
    let (mut level, mut highest) = (stack.baseline().bytes as f64, 0.0_f64);
    let (mut gains, mut losses) = (0.0, 0.0);
    for point in stack.series().points() {
        let at = point.entry as usize;
        if !iterations.get(at).is_some_and(Iteration::measured) {
            continue;
        }
        let net = point.net.bytes as f64;
        level += net;
        highest = highest.max(level);
        if at > first {
            gains += net.max(0.0);
            losses -= net.min(0.0);
        }
    }
    losses * 4.0 > gains && (rise as f64) < NOISE_FLOOR * highest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{
        Plan,
        samples::{counts, ending, epoch, key},
    };

    /// The answer after each iteration, of stacks whose levels change so.
    fn answers(warmup: usize, series: &[&[i64]]) -> Vec<Option<bool>> {
        let mut ledger = Ledger::new(Plan { warmup, ..Plan::default() });
        (0..series[0].len())
            .map(|at| {
                let row = |net: i64| {
                    let bytes = (net.unsigned_abs(), 1);
                    if net < 0 { counts((0, 0), bytes) } else { counts(bytes, (0, 0)) }
                };
                let rows = (1..).zip(series).map(|(id, nets)| (key(id), row(nets[at]))).collect();
                ledger.push(epoch(rows));
                let answer = is_stable(&ledger);
                assert_eq!(answer == Some(false), !still_growing(&ledger).is_empty());
                answer
            })
            .collect()
    }

    const STABLE: Option<bool> = Some(true);
    const GROWS: Option<bool> = Some(false);

    #[test]
    fn it_is_stable_after_the_first_iteration_in_which_no_grower_grows_again() {
        let warms_up = answers(0, &[&[10, 10, 10, 10, 0, 0]]);
        assert_eq!(warms_up, [None, GROWS, GROWS, GROWS, STABLE, STABLE]);
        assert_eq!(answers(0, &[&[16; 4]]), [None, GROWS, GROWS, GROWS]);
        assert_eq!(answers(0, &[&[5, -5, 5, -5]]), [None, STABLE, STABLE, STABLE]);
    }

    #[test]
    fn each_stack_is_looked_at_by_itself() {
        assert_eq!(answers(0, &[&[9, 0, 9, 0], &[0, 9, 0, 9]])[3], STABLE, "in turns");
        assert_eq!(answers(0, &[&[0, 0, 0, 0], &[0, 0, 1, 1]])[3], GROWS);
    }

    #[test]
    fn warm_up_does_not_count() {
        assert_eq!(answers(2, &[&[10, 10, 10, 10]]), [None, None, None, GROWS]);
        assert_eq!(answers(2, &[&[10, 10, 0, 10]]), [None, None, None, STABLE]);
    }

    #[test]
    fn a_rise_within_the_ups_and_downs_is_noise() {
        assert_eq!(answers(0, &[&[1000, -30, 30, -20, 10, 10]])[5], STABLE);
        assert_eq!(answers(0, &[&[1000, -30, 30, -20, 40, 40]])[5], GROWS, "5 % and more are not");
        assert_eq!(answers(0, &[&[1000, 0, 0, 0, 1, 1]])[5], GROWS, "nor without ups and downs");
    }

    #[test]
    fn what_follows_the_last_mark_changes_nothing() {
        let mut ledger = Ledger::new(Plan::default());
        (0..3).for_each(|_| ledger.push(epoch(vec![(key(1), counts((10, 1), (0, 0)))])));
        ledger.push(ending(vec![(key(1), counts((0, 0), (30, 3)))]));
        assert_eq!((is_stable(&ledger), still_growing(&ledger)), (GROWS, vec![key(1)]));
    }
}
