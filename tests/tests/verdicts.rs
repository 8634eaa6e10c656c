//! Leaks and clean habits of programs, side by side: each has to have its verdict, whatever the seed of its
//! randomness. What `programs/verdicts.c` does at a line is said by a comment there.

use std::fs;

use anyhow::{Context as _, Result};
use memtrace_tests::{Document, Memtrace, Program, cannot_trace, in_full};

const ITERATIONS: &str = "20";
const WARMUP: &str = "4";

/// Seeds; all habits together are one run. And those of the long version.
const REPETITIONS: [u32; 2] = [5, 20];

/// A line that allocates.
#[derive(Clone, Debug)]
struct Planted {
    name: String,
    line: u64,
    leak: bool,
    /// The verdicts that are right.
    right: Vec<String>,
}

/// From the first instruction on, with everything that fills for the first time.
#[test]
fn every_habit_from_the_start() -> Result<()> {
    repeat(REPETITIONS, &[], |planted, verdict| planted.right.iter().any(|right| right == verdict))
}

/// After warm-up much that was burst or plateau is stable; leaks are leaks.
#[test]
fn every_habit_after_warm_up() -> Result<()> {
    let is_right = |planted: &Planted, verdict: &str| planted.leak == (verdict == "growing");
    repeat([2, 20], &["--warmup", WARMUP], is_right)
}

/// The three patterns of leaks, and the slowest and the largest: nothing comes before them.
#[test]
fn a_leak_alone_is_the_first() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = program()?;
    let alone = ["accumulating_list", "cache_without_limit", "listeners", "slow_16", "one_mib"];
    for leak in planted(&program)?.iter().filter(|planted| alone.contains(&&*planted.name)) {
        let report = trace(&program, &[], 1, &[&leak.name])?;
        let stacks = report.stacks();
        let first = stacks.first().context("no stacks")?;
        let place = (program.source().to_string_lossy().into_owned(), leak.line);
        assert_eq!(first.line(), Some(place), "{}", leak.name);
        assert_eq!(first.verdict(), "growing", "{}", leak.name);
        assert_eq!(growing(&report), 1, "{}", leak.name);
    }
    Ok(())
}

/// A cache with a limit is none.
#[test]
fn a_clean_program_has_nothing_that_grows() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = program()?;
    let clean = planted(&program)?.into_iter().filter(|planted| !planted.leak);
    let names: Vec<_> = clean.map(|planted| planted.name).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(growing(&trace(&program, &[], 1, &names)?), 0);
    Ok(())
}

/// 1 MiB for each call, 16 bytes for each call: those are the figures.
#[test]
fn growth_per_iteration_is_the_leak() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = program()?;
    let report = trace(&program, &[], 1, &["one_mib", "slow_16"])?;
    for (name, size) in [("one_mib", 1_048_576.0), ("slow_16", 16.0)] {
        let (line, _) = program.line_of(&format!("/* leak {name} */"))?;
        let slope = report.stacks_at(program.source(), line)[0].bytes_per_iteration();
        assert!((slope - size).abs() < 1e-9, "{name}: {slope}");
    }
    let words = Memtrace::new(["exec", "--mark-fn", "iteration_end", "--"])
        .arg(program.path())
        .words([ITERATIONS, "1", "one_mib"])
        .run()?;
    words.expect_code(0);
    let (line, _) = program.line_of("/* leak one_mib */")?;
    let place = format!("{}:{line}", program.source().display());
    let row = words.stderr.lines().find(|row| row.ends_with(&place)).context("no row")?;
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(
        cells,
        ["+20.0", "MiB", "+20", "+1.0", "MiB", "growing", &place],
        "{}",
        words.stderr
    );
    Ok(())
}

/// Beside everything clean, of which much grew more, the slowest leak heads the stacks by verdict.
#[test]
fn the_slowest_leak_is_told_from_larger_growth() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = program()?;
    let beside = planted(&program)?.into_iter().filter(|p| !p.leak || p.name == "slow_16");
    let words = Memtrace::new(["exec", "--debug", "--mark-fn", "iteration_end", "--"])
        .arg(program.path())
        .words([ITERATIONS, "1"])
        .words(beside.map(|planted| planted.name))
        .run()?;
    words.expect_code(0);
    let (_, by_verdict) = words.stderr.split_once("Stacks by verdict:\n").context("no verdicts")?;
    let (line, _) = program.line_of("/* leak slow_16 */")?;
    let head: Vec<_> = by_verdict.lines().take(3).map(str::trim).collect();
    assert_eq!(head[0], "growing: 1 stack, +320 B");
    assert!(head[1].contains("+320 B in 20 blocks, +16 B per iteration"), "{}", head[1]);
    assert!(head[2].ends_with(&format!("verdicts.c:{line}")), "{}", head[2]);
    Ok(())
}

fn program() -> Result<Program> {
    Program::compile("verdicts.c", &["-O1", "-fno-omit-frame-pointer", "-fno-builtin", "-pthread"])
}

/// What the comments of the source say.
fn planted(program: &Program) -> Result<Vec<Planted>> {
    let source = fs::read_to_string(program.source())?;
    let planted = source.lines().zip(1..).filter_map(|(text, line)| {
        let (_, comment) = text.strip_suffix(" */")?.split_once("; /* ")?;
        let (kind, rest) = comment.split_once(' ')?;
        let (name, verdicts) = rest.split_once(": ").unwrap_or((rest, "growing"));
        let right = verdicts.split('|').map(str::to_owned).collect();
        Some(Planted { name: name.to_owned(), line, leak: kind == "leak", right })
    });
    Ok(planted.collect())
}

/// Traces all habits with several seeds. All that is wrong is said at once.
fn repeat(
    repetitions: [u32; 2],
    options: &[&str],
    is_right: impl Fn(&Planted, &str) -> bool,
) -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = program()?;
    let planted = planted(&program)?;
    let leaks = planted.iter().filter(|planted| planted.leak).count();
    assert!(leaks >= 23 && planted.len() - leaks >= 23, "{leaks} leaks of {}", planted.len());
    let mut wrong = Vec::new();
    let repetitions = repetitions[usize::from(in_full())];
    for seed in 1..=repetitions {
        let report = trace(&program, options, seed, &[])?;
        for planted in &planted {
            let stacks = report.stacks_at(program.source(), planted.line);
            assert_eq!(stacks.len(), 1, "{}: one line, one stack", planted.name);
            let verdict = stacks[0].verdict();
            if !is_right(planted, verdict) {
                let nets: Vec<_> = stacks[0].net().iter().map(|(bytes, _)| *bytes).collect();
                wrong.push(format!("seed {seed}, {}: {verdict} for {nets:?}", planted.name));
            }
        }
        // Nor does anything else: libc, and what threads are made of.
        let grow = growing(&report);
        if grow != leaks {
            wrong.push(format!("seed {seed}: {grow} stacks are growing"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    println!("{} habits, {leaks} of them leaks, {repetitions} times: all right", planted.len());
    Ok(())
}

fn trace(program: &Program, options: &[&str], seed: u32, names: &[&str]) -> Result<Document> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    Memtrace::new(["exec", "--mark-fn", "iteration_end", "--format", "json", "-o"])
        .arg(&file)
        .words(options)
        .arg("--")
        .arg(program.path())
        .words([ITERATIONS, &seed.to_string()])
        .words(names)
        .run()?
        .expect_code(0);
    let report = Document::read(&file)?;
    report.assert_ledger_closes();
    Ok(report)
}

fn growing(report: &Document) -> usize {
    report.stacks().iter().filter(|stack| stack.verdict() == "growing").count()
}
