//! What the growth of resident memory is made of, on programs that make it grow by 64 MiB in one known way.

use anyhow::Result;
use memtrace_tests::{Document, Memtrace, Program, cannot_trace, until};

const FLAGS: [&str; 2] = ["-O1", "-fno-builtin"];
const MIB: i64 = 1 << 20;
const BYTES: i64 = 64 * MIB;

/// What else may become resident meanwhile: page tables are no part of it, but code and data of libc are.
const SLACK: i64 = MIB;

#[test]
fn a_leak_explains_it() -> Result<()> {
    let Some(report) = trace("leak")? else { return Ok(()) };
    // Each block has a header of 8 bytes, and is rounded up to 16.
    assert_parts(&report, [BYTES, BYTES / 4000 * 16, 0, 0]);
    let ratio = report.at("/rss/explained_ratio").as_f64().unwrap_or_default();
    assert!((0.97..1.0).contains(&ratio), "{ratio}");
    Ok(())
}

#[test]
fn the_program_s_own_mapping_is_named() -> Result<()> {
    let Some(report) = trace("map")? else { return Ok(()) };
    assert_eq!(report.number("/rss/parts/mappings_bytes"), BYTES);
    assert_parts(&report, [0, 0, BYTES, 0]);
    Ok(())
}

#[test]
fn what_the_allocator_keeps_is_named() -> Result<()> {
    let Some(report) = trace("retain")? else { return Ok(()) };
    // The first one is lost beneath the last: these two live.
    assert_eq!(report.number("/rss/parts/heap_bytes"), 2000);
    assert_parts(&report, [0, BYTES, 0, 0]);
    Ok(())
}

/// Blocks that nobody touched are not resident.
#[test]
fn untouched_blocks_are_no_growth() -> Result<()> {
    let Some(report) = trace("reserve")? else { return Ok(()) };
    assert!(report.number("/rss/growth_bytes") < 2 * SLACK);
    assert_parts(&report, [BYTES, -BYTES, 0, 0]);
    Ok(())
}

/// From the program's first instruction on: what the trace has seen by then is no growth.
#[test]
fn of_a_command() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = Program::compile("rss.c", &FLAGS)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report");
    let options = "exec --mark-fn mark -n 2 --format json -o";
    let command = [program.path().as_os_str(), "leak".as_ref()];
    let traced = Memtrace::new(options.split(' ')).arg(&file).arg("--").words(command);
    let mut target = traced.into_target()?;
    target.expect("ready")?;
    for _ in 0..2 {
        target.send("\n")?;
        target.expect("marked")?;
    }
    until("there is a report", || Document::read(&file).is_ok())?;
    let report = Document::read(&file)?;
    let touched = report.number("/rss/parts/untraced_bytes");
    assert!((0..4 * MIB).contains(&touched), "its own pages and libc's: {touched}");
    let growth = report.number("/rss/parts/growth_bytes");
    let parts = ["heap", "allocator_retained", "mappings", "untraced"];
    let sum = |sum, part| sum + report.number(&format!("/rss/parts/{part}_bytes"));
    assert_eq!((parts.iter().fold(0, sum), report.number("/rss/parts/from")), (growth, 0));
    let heap = report.number("/rss/parts/heap_bytes");
    assert!((heap - BYTES).abs() < SLACK, "{heap}");
    target.wait()?;
    Ok(())
}

/// Of a process that has ended there is nothing to read.
#[test]
fn what_was_not_measured_is_not_known() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    let run = "exec --format json -o - -- true";
    let report = Memtrace::new(run.split(' ')).run()?.document()?;
    assert!(report.at("/rss/parts").is_null());
    assert!(report.at("/iterations/0/anonymous_bytes").is_null());
    Ok(())
}

/// The report on the iteration between the program's first two marks.
fn trace(how: &str) -> Result<Option<Document>> {
    if cannot_trace(&["cc"]) {
        return Ok(None);
    }
    let program = Program::compile("rss.c", &FLAGS)?;
    let mut target = program.start(&[how])?;
    let marks = "--mark-fn mark --warmup 1 -n 1 --format json -v";
    let mut memtrace = Memtrace::attach(target.pid()).args(marks).start()?;
    memtrace.attached()?;
    target.send("\n")?;
    memtrace.says("resident memory read")?;
    target.send("\n")?;
    target.expect("marked")?;
    let report = memtrace.finish()?.document()?;
    report.assert_ledger_closes();
    let resident = report.number("/iterations/1/rss_bytes");
    let anonymous = report.number("/iterations/1/anonymous_bytes");
    assert!(anonymous > 0 && anonymous < resident, "{anonymous} of {resident}");
    Ok(Some(report))
}

/// Live blocks, what the allocator keeps, mappings, untraced: each about so much, and together the growth exactly.
#[track_caller]
fn assert_parts(report: &Document, expected: [i64; 4]) {
    let names = ["heap", "allocator_retained", "mappings", "untraced"];
    let parts = names.map(|name| report.number(&format!("/rss/parts/{name}_bytes")));
    for (part, expected) in parts.iter().zip(expected) {
        assert!((part - expected).abs() < SLACK, "{parts:?} instead of {expected:?}");
    }
    let growth = report.number("/rss/parts/growth_bytes");
    assert_eq!(parts.iter().sum::<i64>(), growth);
    assert_eq!(report.number("/rss/growth_bytes"), growth);
    assert_eq!((report.number("/rss/parts/from"), report.number("/rss/parts/to")), (1, 2));
}
