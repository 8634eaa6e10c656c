//! A deterministic script's live bytes by line of Python, against what Python's own `tracemalloc` says in a run without memtrace.
//!
//! What may differ, and why it stays below the bar here: Python keeps some freed objects in lists and makes new ones of them
//! without an allocation. `tracemalloc` moves such an object to the new line; memtrace leaves it on the one that allocated
//! it. The lists hold some tens to 2000 objects of a kind, and the script makes most kinds only to keep them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use memtrace_tests::{ControlFifos, Document, Memtrace, Python, Target, cannot_trace};

/// Both of a line's figures, and both totals.
const TOLERANCE: f64 = 0.02;
/// Lines below are not compared one by one; the total has them.
const SMALL: i64 = 4096;
/// Lines that the script keeps at least as much from, so that a comparison of nothing does not pass.
const MOST_FEW: usize = 25;

/// Bytes by file and line.
type Lines = BTreeMap<(String, i64), i64>;

#[test]
fn each_line_keeps_what_tracemalloc_says() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    Python::few()?.iter().try_for_each(|python| compare(python, &alone(python)?, &traced(python)?))
}

fn compare(python: &Python, expected: &Lines, found: &Lines) -> Result<()> {
    let places: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let of = |lines: &Lines, place| lines.get(place).copied().unwrap_or(0);
    let mut compared = 0;
    let mut off = Vec::new();
    for place in places {
        let (expected, found) = (of(expected, place), of(found, place));
        if expected.max(found) < SMALL {
            continue;
        }
        compared += 1;
        if !is_near(expected, found) {
            off.push(format!("{}:{}: {found} B in place of {expected}", place.0, place.1));
        }
    }
    ensure!(off.is_empty(), "{python:?}:\n{}", off.join("\n"));
    ensure!(compared >= MOST_FEW, "{python:?}: only {compared} lines");
    let (expected, found) = (expected.values().sum(), found.values().sum());
    ensure!(is_near(expected, found), "{python:?}: {found} B in place of {expected} in all");
    println!(
        "{:?}: tracemalloc {expected} B, memtrace {found} B, {compared} lines",
        python.version
    );
    Ok(())
}

fn is_near(expected: i64, found: i64) -> bool {
    (found - expected).abs() as f64 <= TOLERANCE * expected as f64
}

/// What tracemalloc says.
fn alone(python: &Python) -> Result<Lines> {
    let mut command = python.command(&[]);
    command.arg(script()).arg("tracemalloc");
    let mut target = Target::start(&mut command)?;
    target.expect("ready")?;
    target.send("\n")?;
    target.expect("made")?;
    target.send("\n")?;
    let lines: Vec<(String, i64, i64, i64)> = serde_json::from_str(&target.expect("[[")?)?;
    ensure!(target.wait()?.success(), "the script failed");
    // Its own lines are of what it takes the figures with.
    let own = |file: &str| file.ends_with("/tracemalloc.py");
    let counted = lines.into_iter().filter(|(file, ..)| !own(file));
    Ok(counted.map(|(file, line, bytes, _)| ((file, line), bytes)).collect())
}

/// What memtrace says of the time from one mark to another. The interpreter's start, which has more stacks than all that the script
/// does, is not recorded: a shell waits until that is said, and becomes the interpreter.
fn traced(python: &Python) -> Result<Lines> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let mut fifos = ControlFifos::make()?;
    let mut target = Memtrace::new(["exec", "--as-root", "--python-objects", "exact"])
        .args("--warmup 1 --format json -o")
        .arg(&file)
        .arg("--control")
        .arg(fifos.argument())
        .words(["--", "/bin/sh", "-c", "echo shell; read go; exec \"$@\"", "sh"])
        .arg(&python.path)
        .arg(script())
        .into_target()?;
    target.expect("shell")?;
    fifos.say("disable")?;
    target.send("\n")?;
    target.expect("ready")?;
    fifos.say("enable")?;
    fifos.say("snapshot")?;
    target.send("\n")?;
    target.expect("made")?;
    fifos.say("snapshot")?;
    target.close_input();
    ensure!(target.wait()?.success(), "the script failed");
    let report = Document::read(&file)?;
    report.assert_ledger_closes();
    let mut lines = Lines::new();
    for stack in report.stacks() {
        // Without a frame of Python's: the interpreter itself, at its end, and what is not Python's.
        if let Some((file, line, _)) = stack.python_frames().into_iter().next() {
            *lines.entry((file, line)).or_default() += stack.growth_bytes();
        }
    }
    Ok(lines)
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python/totals.py")
}
