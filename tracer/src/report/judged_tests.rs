//! What a judged run prints: gates, suppressions, the files for a pipeline.

use std::path::Path;

use insta::assert_snapshot;
use serde_json::Value;

use super::{
    Palette, gate_line, json, junit, junit_unfinished,
    samples::{self, Run, text},
    short, summary,
};
use crate::{
    compare::Recording,
    gates::{Gates, Ruling},
};

fn said(run: &Run) -> String {
    run.report().gates.iter().map(|outcome| gate_line(outcome) + "\n").collect()
}

#[test]
fn a_judged_run() {
    let run = samples::judged();
    assert_snapshot!(format!("{}=== gates\n{}", run.seen(), said(&run)));
    let document: Value = serde_json::from_slice(&json(&run.report())).expect("it is JSON");
    let parts = [&document["suppressions"], &document["gates"]];
    assert_snapshot!(serde_json::to_string_pretty(&parts).expect("it was JSON before"));
}

#[test]
fn the_junit_file() {
    let run = samples::judged();
    assert_snapshot!(text(junit(&run.report(), false)));
    assert_snapshot!(text(junit_unfinished()));
}

#[test]
fn the_summary() {
    assert_snapshot!(text(summary(&samples::judged().report(), false)));
    assert_snapshot!(text(summary(&samples::empty().report(), false)));
}

/// Incomplete data, a target that failed, gates that can't be judged: both files are written all the same, and say so.
#[test]
fn a_run_that_went_wrong() {
    let mut run = samples::incomplete();
    run.target.exit_status = Some(139);
    run.gates = Gates { total: Some(1 << 20), per_stack: None };
    let report = run.report();
    assert_snapshot!(text(junit(&report, true)));
    assert_snapshot!(text(summary(&report, true)));
    let lenient = text(junit(&report, false));
    assert!(lenient.contains("<skipped message=\"recorded"), "{lenient}");
}

/// What a report of the same run allows, it allows of all stacks, lines without debug information included.
#[test]
fn a_run_is_its_own_baseline() {
    for mut run in [samples::ordinary(), samples::one_iteration_without_debug_info()] {
        run.gates = Gates { total: Some(0), per_stack: Some(0) };
        let before: Vec<_> = run.report().gates.iter().map(|o| o.result).collect();
        assert_eq!(before, [Ruling::Tripped, Ruling::Tripped]);
        let settled = json(&run.report());
        run.baseline = Some(Recording::parse(&settled, Path::new("b")).expect("it is a report"));
        for outcome in run.report().gates {
            assert_eq!((outcome.result, outcome.bytes_per_iteration), (Ruling::Passed, 0.0));
            assert!(outcome.beyond_baseline);
        }
    }
}

/// Suppressed growth is in the totals, and in no list of growth.
#[test]
fn suppressed_stacks_are_in_the_totals_only() {
    let (judged, ordinary) = (samples::judged(), samples::ordinary());
    assert_eq!(judged.report().totals, ordinary.report().totals);
    let listed = |run: &Run| text(short(&run.report(), Palette::plain())).contains("cache.c:7");
    assert!(listed(&ordinary) && !listed(&judged));
}

/// Whatever a name contains, the file stays XML.
#[test]
fn hostile_names_stay_text() {
    let mut run = samples::ordinary();
    run.gates = Gates { total: Some(0), per_stack: Some(0) };
    let hostile = "]]>&<a b='\">\u{1b}\u{0}\u{ffff}\u{fffe}\u{85}x";
    for named in run.stacks.values_mut() {
        for frame in &mut named.frames {
            frame.function = Some(hostile.to_owned());
            frame.file = frame.file.as_ref().map(|_| hostile.to_owned());
        }
    }
    let xml = text(junit(&run.report(), false));
    let mut reader = quick_xml::Reader::from_str(&xml);
    let mut failures = 0;
    loop {
        match reader.read_event().expect("it is XML") {
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Start(tag) if tag.name().as_ref() == "failure" => {
                failures += 1;
            }
            _ => {}
        }
    }
    assert_eq!(failures, 2);
    assert!(!xml.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{ffff}'), "{xml:?}");
}
