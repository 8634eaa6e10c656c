//! What gates let through.

use std::path::Path;

use super::{Basis, Flaw, Gate, Gates, Outcome, Ruling, judge};
use crate::compare::{Recording, samples::document};

type Stacks<'a> = &'a [(&'a [&'a str], i64)];

fn recording(stacks: Stacks<'_>, iterations: usize) -> Recording {
    let text = document(stacks, iterations).to_string();
    Recording::parse(text.as_bytes(), Path::new("a.json")).unwrap_or_else(|e| panic!("{e}"))
}

/// What a gate says of stacks that grew over 5 iterations.
fn ruled(gates: Gates, run: Stacks<'_>, baseline: Option<(Stacks<'_>, usize)>) -> (Ruling, f64) {
    let run = recording(run, 5);
    let baseline = baseline.map(|(stacks, iterations)| recording(stacks, iterations));
    let outcomes = judge(gates, basis(5), &run.party(), baseline.as_ref());
    assert_eq!(outcomes.len(), 1);
    (outcomes[0].result, outcomes[0].bytes_per_iteration)
}

fn basis(measured: u64) -> Basis {
    Basis { measured, in_warmup: false, unmarked: false }
}

fn total(limit: u64) -> Gates {
    Gates { total: Some(limit), per_stack: None }
}

fn per_stack(limit: u64) -> Gates {
    Gates { total: None, per_stack: Some(limit) }
}

const LEAK: &[&str] = &["leak", "main"];
const OTHER: &[&str] = &["other", "main"];

#[test]
fn only_what_is_above_the_limit_trips() {
    for (growth, limit, ruling) in [
        (500, 100, Ruling::Passed),
        (501, 100, Ruling::Tripped),
        (499, 100, Ruling::Passed),
        (0, 0, Ruling::Passed),
        (1, 0, Ruling::Tripped),
        (-1000, 0, Ruling::Passed),
        (i64::MAX, u64::MAX, Ruling::Passed),
        (i64::MAX, 1 << 60, Ruling::Tripped),
    ] {
        for gates in [total(limit), per_stack(limit)] {
            assert_eq!(ruled(gates, &[(LEAK, growth)], None).0, ruling, "{growth} {gates:?}");
        }
    }
}

#[test]
fn what_shrank_counts_for_the_whole_and_not_for_a_stack() {
    let run: Stacks<'_> = &[(LEAK, 1000), (OTHER, -800)];
    assert_eq!(ruled(total(100), run, None), (Ruling::Passed, 40.0));
    assert_eq!(ruled(per_stack(100), run, None), (Ruling::Tripped, 200.0));
    let shrunk: Stacks<'_> = &[(OTHER, -800)];
    assert_eq!(ruled(per_stack(0), shrunk, None), (Ruling::Passed, 0.0));
}

#[test]
fn a_baseline_is_taken_off_stack_by_stack() {
    // 100 per iteration then, over twice as many iterations.
    let before: Option<(Stacks<'_>, usize)> = Some((&[(LEAK, 1000), (OTHER, -500)], 10));
    for (run, of_all, of_one) in [
        (&[(LEAK, 500)][..], 0.0, 0.0),
        (&[(LEAK, 400)], 0.0, 0.0),
        (&[(LEAK, 510)], 2.0, 2.0),
        (&[(LEAK, 500), (&["new", "main"], 50)], 10.0, 10.0),
        // It shrank before: that allows no growth now, and forbids none.
        (&[(LEAK, 500), (OTHER, 50)], 10.0, 10.0),
        (&[(LEAK, 500), (OTHER, -50)], -10.0, 0.0),
        // Through another caller it is another stack.
        (&[(&["leak", "retry", "main"], 500)], 100.0, 100.0),
    ] {
        assert_eq!(ruled(total(0), run, before).1.to_bits(), f64::to_bits(of_all), "{run:?}");
        assert_eq!(ruled(per_stack(0), run, before).1.to_bits(), f64::to_bits(of_one), "{run:?}");
    }
}

#[test]
fn a_baseline_without_stacks_changes_nothing() {
    let run: Stacks<'_> = &[(LEAK, 1000), (OTHER, -800)];
    for gates in [total(30), total(50), per_stack(199), per_stack(200)] {
        assert_eq!(ruled(gates, run, None), ruled(gates, run, Some((&[], 3))), "{gates:?}");
    }
}

#[test]
fn without_a_measured_iteration_nothing_is_decided() {
    let run = recording(&[(LEAK, 1)], 1);
    let flawed = [
        (basis(0), Flaw::InWarmup),
        (Basis { in_warmup: true, ..basis(1) }, Flaw::InWarmup),
        (Basis { unmarked: true, ..basis(1) }, Flaw::Unmarked),
    ];
    for (basis, flaw) in flawed {
        let gates = Gates { total: Some(100), per_stack: Some(100) };
        let outcomes = judge(gates, basis, &run.party(), None);
        assert!(outcomes.iter().all(|outcome| outcome.flaw == Some(flaw)), "{basis:?}");
        let results: Vec<_> = outcomes.iter().map(|o| (o.gate, o.result)).collect();
        let undecided = Ruling::Undecided;
        assert_eq!(results, [(Gate::Total, undecided), (Gate::PerStack, undecided)]);
    }
}

#[test]
fn the_line_that_grew_most_is_named_with_all_its_stacks() {
    // `deep` and `pair` have names of one length, and so one line.
    let run = recording(&[(&["leaks"], 500), (&["deep", "a"], 300), (&["pair", "b"], 300)], 1);
    let named = |gates| {
        let outcomes: Vec<Outcome<'_>> = judge(gates, basis(1), &run.party(), None);
        let worst = outcomes[0].worst_line().map(|(place, bytes)| (place.brief(), bytes));
        (worst, outcomes[0].growers.len())
    };
    assert_eq!(named(total(0)), (Some(("/src/app.c:40".to_owned(), 600.0)), 3));
    assert_eq!(named(per_stack(400)), (Some(("/src/app.c:50".to_owned(), 500.0)), 1));
}
