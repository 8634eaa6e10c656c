//! The rules of the contract, one by one.

use tracer_common::Space;

use super::{
    Amount, EpochRecord, Ledger, MarkTrigger, Plan, StackKey, Totals,
    samples::{counts, ending, epoch, key},
};

fn ledger(warmup: usize, records: impl IntoIterator<Item = EpochRecord>) -> Ledger {
    let mut ledger = Ledger::new(Plan { warmup, rss_at_start: Some(1_000), ..Plan::default() });
    records.into_iter().for_each(|record| ledger.push(record));
    ledger
}

fn growth(ledger: &Ledger, id: u64) -> Amount {
    ledger.stack(key(id)).expect("the stack was recorded").growth()
}

fn plus(bytes: u64) -> EpochRecord {
    epoch(vec![(key(1), counts((bytes, 1), (0, 0)))])
}

fn minus(bytes: u64) -> EpochRecord {
    epoch(vec![(key(1), counts((0, 0), (bytes, 1)))])
}

#[test]
fn growth_runs_from_the_end_of_warm_up_to_the_last_mark() {
    let teardown = ending(vec![(key(1), counts((0, 0), (111, 3)))]);
    let ledger = ledger(1, [plus(100), plus(10), plus(1), teardown]);
    assert_eq!(growth(&ledger, 1), Amount { bytes: 11, blocks: 2 });
    let stack = ledger.stack(key(1)).expect("recorded");
    assert_eq!(stack.live(), Amount::ZERO, "live is at the end of the run");
    assert_eq!(stack.change(), Amount { bytes: -111, blocks: -3 });
    assert_eq!(ledger.measured(), 2);
    assert_eq!(ledger.totals(), Totals { growth_bytes: 11, freed_bytes: 0 });
}

#[test]
fn a_quiet_ending_changes_nothing() {
    let ledger = ledger(0, [plus(100), plus(10), ending(vec![])]);
    assert_eq!(growth(&ledger, 1).bytes, 110);
    assert_eq!(ledger.stack(key(1)).expect("recorded").change(), Amount::ZERO);
}

#[test]
fn without_marks_the_trace_is_the_one_iteration() {
    for warmup in [0, 2] {
        let ledger = ledger(warmup, [ending(vec![(key(1), counts((64, 2), (32, 1)))])]);
        let only = &ledger.iterations()[0];
        assert_eq!((only.trigger, only.partial, only.warmup), (MarkTrigger::End, false, false));
        assert_eq!(growth(&ledger, 1), Amount { bytes: 32, blocks: 1 });
        assert_eq!(ledger.measured(), 1);
    }
}

#[test]
fn a_warm_up_that_never_ends_leaves_the_start_as_baseline() {
    let ledger = ledger(5, [plus(100), plus(10)]);
    assert!(ledger.in_warmup());
    assert_eq!(ledger.measured(), 0);
    assert_eq!(growth(&ledger, 1).bytes, 110);
}

#[test]
fn shrinking_stacks_count_as_freed() {
    let both = epoch(vec![(key(1), counts((0, 0), (60, 1))), (key(2), counts((25, 1), (0, 0)))]);
    let ledger = ledger(1, [plus(60), both]);
    let totals = Totals { growth_bytes: 25, freed_bytes: 60 };
    assert_eq!((ledger.totals(), ledger.last_totals()), (totals, totals));
    assert_eq!(totals.net_bytes(), -35);
}

#[test]
fn the_peak_is_never_below_the_live_bytes_at_either_end() {
    let mut low = minus(90);
    low.peak_bytes = 50;
    let mut high = plus(5);
    high.peak_bytes = 500;
    let ledger = ledger(0, [plus(100), low, high]);
    let peaks: Vec<u64> = ledger.iterations().iter().map(|i| i.peak_bytes).collect();
    assert_eq!(peaks, [100, 100, 500]);
    assert_eq!(ledger.peak_bytes(), 500);
}

#[test]
fn an_exec_takes_the_old_image_s_blocks_but_is_no_free() {
    let new = StackKey { space: Space(1), ..key(1) };
    let mut exec = epoch(vec![(key(1), counts((20, 1), (0, 0))), (new, counts((7, 1), (0, 0)))]);
    exec.exec = Some(Space(1));
    let ledger = ledger(0, [plus(100), exec, epoch(vec![])]);
    let entry = &ledger.iterations()[1];
    assert_eq!(entry.dropped, Amount { bytes: 120, blocks: 2 });
    assert_eq!(entry.counts, counts((27, 2), (0, 0)));
    assert_eq!(entry.live, Amount { bytes: 7, blocks: 1 });
    assert_eq!(growth(&ledger, 1), Amount::ZERO);
    let old = ledger.stack(key(1)).expect("recorded");
    assert_eq!(old.dropped().bytes, 120);
    assert_eq!(old.series().points()[1].net.bytes, 20 - 120);
}

#[test]
fn each_process_starts_from_nothing_and_is_compared_with_the_one_before() {
    let process = |rows, peak_bytes| EpochRecord { new_process: true, peak_bytes, ..epoch(rows) };
    let run =
        |kept, exec| EpochRecord { exec, ..process(vec![(key(1), counts((kept, 2), (0, 0)))], 0) };
    let failed = process(vec![(key(1), counts((7, 1), (0, 0)))], 9);
    let failed = EpochRecord { partial: true, trigger: MarkTrigger::End, ..failed };
    // The second one replaces its image: what it had so far is gone, what the third has is not.
    let records = [run(100, None), run(500, Some(Space(1))), run(130, None), failed];
    let ledger = ledger(1, records);
    let stack = ledger.stack(key(1)).expect("recorded");
    let levels: Vec<i64> = ledger.iterations().iter().map(|i| i.live.bytes).collect();
    assert_eq!(levels, [100, 0, 130, 7]);
    let nets: Vec<i64> = stack.series().points().iter().map(|point| point.net.bytes).collect();
    assert_eq!(nets, [100, -100, 130, 7 - 130]);
    assert_eq!(
        stack.growth(),
        Amount { bytes: 30, blocks: 0 },
        "from the first to the last whole one"
    );
    assert_eq!((stack.counts().alloc_bytes, stack.live().bytes), (737, 7));
    let peaks: Vec<u64> = ledger.iterations().iter().map(|i| i.peak_bytes).collect();
    assert_eq!(peaks, [100, 0, 130, 9], "none has the one before in it");
    assert!(ledger.has_several_processes());
}

#[test]
fn rss_is_taken_at_the_baseline_and_at_the_last_mark() {
    let with = |rss_bytes, record| EpochRecord { rss_bytes, ..record };
    let records = [with(3_000, plus(1)), with(4_500, plus(1)), with(0, ending(vec![]))];
    for (warmup, baseline) in [(0, 1_000), (1, 3_000)] {
        let rss = ledger(warmup, records.clone()).rss().expect("both ends are known");
        assert_eq!((rss.baseline_bytes, rss.last_bytes), (baseline, 4_500));
    }
    assert_eq!(ledger(0, [with(0, plus(1))]).rss(), None);
}

#[test]
fn thinning_starts_after_ten_thousand_iterations_and_loses_nothing() {
    let mut long = ledger(1, (0..10_000).map(plus));
    long.push(ending(vec![]));
    assert_eq!(long.iterations().len(), 10_001, "10 000 marks and the end");
    let mut longer = ledger(1, (0..=10_000).map(plus));
    assert_eq!(longer.iterations().len(), 5_001);
    longer.push(plus(7));
    let net: Amount = longer.iterations().iter().map(super::Iteration::net).sum();
    assert_eq!(net, longer.live());
    assert_eq!(longer.measured(), 10_001);
    let points = longer.stack(key(1)).expect("recorded").series().points();
    assert_eq!(points.iter().map(|p| p.net).sum::<Amount>(), longer.live());
    assert!(longer.iterations()[0].warmup && longer.iterations()[0].merged == 1);
}
