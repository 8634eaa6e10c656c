//! Reports of large runs, and how long they take.

use std::time::{Duration, Instant};

use super::{
    IterationBlock, Palette, debug_iteration, detailed, json,
    samples::{Run, many},
    short,
};

/// Generous: a debug build on a busy machine. In release it is to be under half a second, see
/// `ten_thousand_stacks_in_half_a_second`.
const LIMIT: Duration = Duration::from_secs(20);

fn timed<T>(what: &str, job: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = job();
    let took = start.elapsed();
    println!("{what}: {took:?}");
    (result, took)
}

fn ten_thousand_stacks() -> Duration {
    let (stacks, records) = many(10_000, 20);
    let run = Run::new(1, stacks, records);
    let block = || {
        debug_iteration(&IterationBlock::of_last(&run.ledger, &run.stacks, 10), Palette::plain())
    };
    let (_, block) = timed("iteration block", block);
    let (report, build) = timed("build", || run.report());
    assert_eq!(report.stacks.len(), 10_000);
    let (_, texts) =
        timed("text", || (short(&report, Palette::plain()), detailed(&report, Palette::plain())));
    let (document, writing) = timed("json", || json(&report));
    assert!(document.len() > 10_000_000);
    block.max(build).max(texts).max(writing)
}

#[test]
fn ten_thousand_stacks_are_no_trouble() {
    assert!(ten_thousand_stacks() < LIMIT);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "measures release builds")]
fn ten_thousand_stacks_in_half_a_second() {
    assert!(ten_thousand_stacks() < Duration::from_millis(500));
}

#[test]
fn a_long_run_of_few_stacks_is_thinned_and_fast() {
    let (stacks, records) = many(3, 1);
    let records = (0..30_000).map(|_| records[0].clone());
    let mut run = Run::new(1, stacks, vec![]);
    let mut ledger = run.ledger.clone();
    records.for_each(|record| ledger.push(record));
    run.ledger = ledger;
    let report = run.report();
    assert!(report.iterations.len() <= 10_000);
    assert_eq!(report.stacks[0].growth_bytes, 30_000 * 3 - 3);
    assert!((report.stacks[0].bytes_per_iteration - 3.0).abs() < 1e-9);
    let text = String::from_utf8(detailed(&report, Palette::plain())).expect("text");
    assert!(text.contains("in the middle not shown"));
}
