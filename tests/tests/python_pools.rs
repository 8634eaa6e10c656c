//! Lines that take pools of Python's own allocator: a hint, which is right where a line has a size for itself.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{
    ControlFifos, Document, Memtrace, Python, Running, Target, cannot_trace, until,
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/pools.py");

/// Bytes that blocks of the two sizes take: an object's head, the bytes and a zero, to the next multiple of 16.
const SMALL: i64 = 240;
const LARGE: i64 = 464;

/// The first pool of each size may be there already.
const TOLERANCE: f64 = 0.02;

#[test]
fn each_line_has_the_pools_that_it_fills() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    for python in Python::few()? {
        for (warmup, small, large) in [(0, 30_000, 7_500), (1, 10_000, 2_500)] {
            let report = attach(&python, &format!("-w {warmup} -n {} --format json", 2 - warmup))?;
            expect(&python, &report, "the smaller ones", small * SMALL)?;
            expect(&python, &report, "the larger ones", large * LARGE)?;
            assert_eq!(report.number("/python_pools/lost"), 0);
            // Dropped objects fill no pools; and no other line has any to speak of.
            let lines = report.at("/python_pools/lines").as_array().context("no lines")?;
            let others: i64 = lines[2..].iter().filter_map(|line| line["bytes"].as_i64()).sum();
            assert!(others < 200_000, "{python:?}: {lines:#?}");
            let stacks = report.at("/stacks").as_array().context("no stacks")?;
            assert!(stacks.iter().all(|stack| stack["domain"] == "heap"), "it is in no verdict");
        }
    }
    Ok(())
}

#[test]
fn a_person_reads_that_it_is_a_hint() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    let python = Python::few()?.into_iter().next().context("no Python")?;
    let line = line_of("the smaller ones")?;
    for (options, expected) in [
        ("", format!("Pools for them were taken most at {SCRIPT}:{line}: 6.9 MiB in ")),
        ("--debug", format!("    File \"{SCRIPT}\", line {line}\n      kept.extend(bytes(200) ")),
    ] {
        let seen = attached(&python, &format!("-n 2 {options}"))?.finish()?.stdout;
        assert!(seen.contains(&expected) && seen.contains("a hint"), "{seen}");
        // The arenas are mapped within the function that is probed: a return probe would end their stacks there.
        assert!(!seen.contains("[unknown]"), "{seen}");
    }
    Ok(())
}

/// Where its interpreter is ready, its pools can be heard of.
#[test]
fn of_a_command() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    let python = Python::few()?.into_iter().next().context("no Python")?;
    let mut fifos = ControlFifos::make()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("report");
    let mut target =
        Memtrace::new(["exec", "--as-root", "--python-objects", "classes", "-n", "1", "--control"])
            .arg(fifos.argument())
            .args("--format json -o")
            .arg(&path)
            .words(["--", "sh", "-c", &format!("exec {} {}", python.path.display(), SCRIPT)])
            .env("PYTHONMALLOC", "")
            .into_target()?;
    target.expect("ready")?;
    target.send("\n")?;
    target.expect("ready")?;
    fifos.say("snapshot")?;
    until("there is a report", || Document::read(&path).is_ok())?;
    expect(&python, &Document::read(&path)?, "the smaller ones", 20_000 * SMALL)
}

/// The bytes of a line are those that it keeps.
fn expect(python: &Python, report: &Document, what: &str, kept: i64) -> Result<()> {
    let number = line_of(what)?;
    let lines = report.at("/python_pools/lines").as_array().context("nobody heard of pools")?;
    let line = lines.iter().find(|line| line["line"] == number && line["file"] == SCRIPT);
    let bytes = line.and_then(|line| line["bytes"].as_i64()).unwrap_or(0);
    println!("{:?}: {bytes} bytes of {kept} on the line of {what}", python.version);
    let off = (bytes as f64 / kept as f64 - 1.0).abs();
    ensure!(off < TOLERANCE, "{python:?}: {bytes} bytes of {kept}, {what}: {lines:#?}");
    Ok(())
}

fn attach(python: &Python, options: &str) -> Result<Document> {
    attached(python, options)?.finish()?.document()
}

/// Both of the script's steps are taken, with a mark after each.
fn attached(python: &Python, options: &str) -> Result<Running> {
    let mut target = Target::start(&mut python.command(&[SCRIPT]))?;
    target.expect("ready")?;
    let mut fifos = ControlFifos::make()?;
    let memtrace = Memtrace::attach(target.pid()).arg("--control").arg(fifos.argument());
    let mut memtrace = memtrace.args(options).start()?;
    memtrace.attached()?;
    for _ in 0..2 {
        target.send("\n")?;
        target.expect("ready")?;
        fifos.say("snapshot")?;
    }
    target.send("\n")?;
    ensure!(target.wait()?.success(), "it was harmed");
    Ok(memtrace)
}

/// The number of the line with that comment.
fn line_of(comment: &str) -> Result<i64> {
    let source = fs::read_to_string(SCRIPT)?;
    let at = source.lines().position(|line| line.ends_with(comment));
    Ok(at.context("no such line")? as i64 + 1)
}
