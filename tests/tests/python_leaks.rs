//! The patterns that leaks in Python follow, and their mended forms: what grows, on which line, by how much.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{ControlFifos, Document, Memtrace, Python, Running, Target, cannot_trace};

/// What stands at the lines that leak, in the order in which the script tells of them.
const PLANTED: [&str; 3] = ["what it collects", "what it keeps", "what it holds"];

const ITERATIONS: usize = 5;

/// A list or a dictionary that grows takes more than it needs, at times; and a few objects come from lists of free ones.
const TOLERANCE: f64 = 0.01;

#[test]
fn under_exec() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    Python::few()?.iter().try_for_each(|python| {
        check_bad(python, &exec(python, "bad")?)?;
        check_good(python, &exec(python, "good")?.0);
        Ok(())
    })
}

#[test]
fn attached() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    Python::few()?.iter().try_for_each(|python| {
        check_bad(python, &attach(python, "bad")?)?;
        check_good(python, &attach(python, "good")?.0);
        Ok(())
    })
}

/// A report, and how much each leak has added in an iteration, as the program counts it.
type Traced = (Document, Vec<i64>);

fn check_bad(python: &Python, (report, added): &Traced) -> Result<()> {
    let script = script();
    let mut growers = report.growers();
    growers.sort_by_key(|stack| std::cmp::Reverse(stack.growth_bytes()));
    let planted: Vec<_> = PLANTED.into_iter().map(line_of).collect::<Result<_>>()?;
    // The three that leak are the largest, each as a whole.
    for stack in &growers[..planted.len()] {
        let line = stack.line().map_or(0, |(_, line)| line);
        assert!(planted.contains(&line), "{python:?}: {stack:#?}");
        assert_eq!(stack.verdict(), "growing", "{python:?}: {stack:#?}");
    }
    for (line, added) in planted.into_iter().zip(added) {
        let stacks = report.stacks_at(&script, line);
        let per_iteration: f64 = stacks.iter().map(|stack| stack.bytes_per_iteration()).sum();
        let off = (per_iteration / *added as f64 - 1.0).abs();
        let what = format!("{:?}: {per_iteration} bytes per iteration of {added}", python.version);
        assert!(off < TOLERANCE, "{what}, at line {line}");
        println!("{what}");
    }
    Ok(())
}

fn check_good(python: &Python, report: &Document) {
    let growing: Vec<_> =
        report.stacks().into_iter().filter(|stack| stack.verdict() == "growing").collect();
    assert!(growing.is_empty(), "{python:?}: {growing:#?}");
}

fn exec(python: &Python, patterns: &str) -> Result<Traced> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let mut fifos = ControlFifos::make()?;
    let mut target = Memtrace::new(["exec", "--warmup", "1", "--format", "json", "-o"])
        .arg(&file)
        .arg("--control")
        .arg(fifos.argument())
        .arg("--")
        .arg(&python.path)
        .arg(script())
        .arg(patterns)
        .into_target()?;
    target.expect("ready")?;
    let added = iterate(&mut target, &mut fifos)?;
    target.close_input();
    ensure!(target.wait()?.success(), "the script failed");
    Ok((Document::read(&file)?, added))
}

fn attach(python: &Python, patterns: &str) -> Result<Traced> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let mut fifos = ControlFifos::make()?;
    let (mut target, memtrace) = attached_to(python, patterns, &fifos, &file)?;
    let added = iterate(&mut target, &mut fifos)?;
    fifos.say("stop")?;
    memtrace.finish()?.expect_code(0);
    ensure!(target.is_running()?, "the script ended");
    Ok((Document::read(&file)?, added))
}

/// Where the interpreter's allocator can't be probed, memtrace says how it can be traced: that is done then.
fn attached_to(
    python: &Python,
    patterns: &str,
    fifos: &ControlFifos,
    file: &Path,
) -> Result<(Target, Running)> {
    const REMEDY: &str = "PYTHONMALLOC=malloc";
    let start = |remedy: Option<&str>| -> Result<(Target, Running)> {
        let mut command = python.command(&[]);
        command.arg(script()).arg(patterns);
        command.envs(remedy.and_then(|it| it.split_once('=')));
        let mut target = Target::start(&mut command)?;
        target.expect("ready")?;
        let memtrace = Memtrace::attach(target.pid())
            .args("--python-objects exact --warmup 1 --format json -o")
            .arg(file)
            .arg("--control")
            .arg(fifos.argument())
            .start()?;
        Ok((target, memtrace))
    };
    let (target, mut memtrace) = start(None)?;
    if memtrace.attached().is_ok() {
        return Ok((target, memtrace));
    }
    let refused = memtrace.finish()?;
    ensure!(refused.stderr.contains(REMEDY), "{python:?}: {}", refused.stderr);
    let (target, mut memtrace) = start(Some(REMEDY))?;
    memtrace.attached()?;
    Ok((target, memtrace))
}

/// One iteration for the warm-up, then those that count. Gives what each has added.
fn iterate(target: &mut Target, fifos: &mut ControlFifos) -> Result<Vec<i64>> {
    let mut added = Vec::new();
    for _ in 0..=ITERATIONS {
        target.send("\n")?;
        let told = target.expect("")?;
        added = told.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        fifos.say("snapshot")?;
    }
    Ok(added)
}

fn script() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python/patterns.py")
}

fn line_of(text: &str) -> Result<u64> {
    let source = fs::read_to_string(script())?;
    let found = source.lines().position(|line| line.contains(text)).context("no such line")?;
    Ok(found as u64 + 1)
}
