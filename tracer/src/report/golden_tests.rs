//! Recorded runs and what they print.

use anstream::adapter::strip_bytes;
use insta::assert_snapshot;
use serde_json::Value;

use super::{
    Palette, detailed, json,
    samples::{self, Run, text},
    short, stacks_of_interest,
};
use crate::ledger::StackKey;

#[test]
fn an_ordinary_run() {
    assert_snapshot!(samples::ordinary().seen());
}

#[test]
fn one_iteration_without_debug_information() {
    assert_snapshot!(samples::one_iteration_without_debug_info().seen());
}

#[test]
fn nothing_allocated() {
    assert_snapshot!(samples::empty().seen());
}

#[test]
fn wide_numbers() {
    assert_snapshot!(samples::wide().seen());
}

#[test]
fn a_negative_net_change() {
    assert_snapshot!(samples::shrinking().seen());
}

#[test]
fn incomplete_data() {
    let run = samples::incomplete();
    let seen = run.seen();
    assert_snapshot!(seen);
    let last = text(short(&run.report(), Palette::plain()));
    assert!(last.starts_with("INCOMPLETE"));
}

#[test]
fn mappings_apart_from_the_heap() {
    let mut run = samples::mapping();
    assert_snapshot!(run.seen());
    let document: Value = serde_json::from_slice(&json(&run.report())).expect("it is JSON");
    let mappings = serde_json::to_string_pretty(&document["mappings"]).expect("it was JSON before");
    assert_snapshot!(mappings);
    run.lost_mappings = 3;
    let report = run.report();
    for text in [short(&report, Palette::plain()), detailed(&report, Palette::plain())] {
        assert!(samples::text(text).contains("mappings are incomplete: changes lost: 3"));
    }
}

#[test]
fn how_until_stable_ended() {
    for (mut run, said) in [
        (samples::ordinary(), "Not stable after 4 measured iterations: 2 stacks grew in both"),
        (samples::empty(), "Stable after 2 measured iterations: no stack grew"),
        (samples::one_iteration_without_debug_info(), "not enough iterations to tell"),
    ] {
        assert!(!run.seen().contains(said));
        assert!(run.report().stability.is_none());
        run.until_stable = true;
        let seen = run.seen();
        assert_eq!(seen.matches(said).count(), 2, "in both reports: {seen}");
    }
}

#[test]
fn the_json_document() {
    let document: Value =
        serde_json::from_slice(&json(&samples::ordinary().report())).expect("it is JSON");
    let pretty = serde_json::to_string_pretty(&document).expect("it was JSON before");
    assert_snapshot!(pretty);
    // `pretty` is in alphabetical order; the document itself in that of the schema.
    let compact = text(json(&samples::empty().report()));
    assert_snapshot!(compact);
}

#[test]
fn the_order_of_the_data_does_not_show() {
    let run = samples::ordinary();
    let (stacks, mut records) = samples::many(300, 4);
    let before = Run::new(1, stacks.clone(), records.clone());
    for record in &mut records {
        record.rows.reverse();
        record.rows.rotate_left(101);
    }
    let mut shuffled: Vec<_> = stacks.into_iter().collect();
    shuffled.reverse();
    let after = Run::new(1, shuffled.into_iter().collect(), records);
    assert_eq!(json(&before.report()), json(&after.report()));
    assert_eq!(before.seen(), after.seen());
    assert_eq!(json(&run.report()), json(&samples::ordinary().report()));
}

#[test]
fn colours_stand_beside_the_text() {
    for run in [samples::ordinary(), samples::incomplete(), samples::empty()] {
        let report = run.report();
        for format in [short, detailed] {
            let (plain, colour) =
                (format(&report, Palette::plain()), format(&report, Palette::colour()));
            assert_ne!(plain, colour);
            assert_eq!(plain, strip_bytes(&colour).into_vec());
        }
    }
}

#[test]
fn the_document_s_sums_are_exact() {
    for run in [samples::ordinary(), samples::shrinking(), samples::wide()] {
        let report = run.report();
        let growth: i64 = report.stacks.iter().map(|stack| stack.growth_bytes).sum();
        assert_eq!(report.totals.net_bytes, growth);
        assert_eq!(report.files.iter().map(|file| file.growth_bytes).sum::<i64>(), growth);
        let live: i64 = report.stacks.iter().map(|stack| stack.live_bytes).sum();
        assert_eq!(live, report.iterations.last().expect("there are some").live_bytes);
        let document: Value = serde_json::from_slice(&json(&report)).expect("it is JSON");
        for stack in document["stacks"].as_array().expect("a list") {
            let steps = stack["per_iteration"].as_array().expect("a list");
            assert_eq!(steps.len(), report.iterations.len());
            let net: i64 = steps.iter().filter_map(|step| step["net_bytes"].as_i64()).sum();
            assert_eq!(Some(net), stack["live_bytes"].as_i64());
        }
    }
}

#[test]
fn names_are_needed_for_all_that_lives_or_changed() {
    let run = samples::ordinary();
    let keys: Vec<u64> =
        stacks_of_interest(&run.ledger).iter().map(|key: &StackKey| key.stack.0).collect();
    assert_eq!(keys, [0, 1, 2, 3, 5], "4 has freed all, and did not change at the end");
}
