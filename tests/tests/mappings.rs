//! A program that maps, remaps and unmaps, has its malloc do the same, and counts it all: both domains have to
//! be what it says, to the byte, and apart from each other.

use std::{collections::HashMap, path::Path};

use anyhow::{Context as _, Result};
use memtrace_tests::{Document, Memtrace, Program, cannot_trace, skip};
use serde_json::Value;

const PAGE: i64 = 4096;
const MUSL: &str = "/usr/lib/x86_64-linux-musl/musl-gcc.specs";

#[test]
fn one_thread() -> Result<()> {
    agrees(&["-pthread"], 1, 30, true)
}

#[test]
fn four_threads() -> Result<()> {
    agrees(&["-pthread"], 4, 200, true)
}

#[test]
fn linked_statically() -> Result<()> {
    agrees(&["-pthread", "-static"], 4, 50, true)
}

/// musl refuses to move the break, and its malloc has a way of its own to map.
#[test]
fn on_musl() -> Result<()> {
    if !Path::new(MUSL).exists() {
        skip("musl-tools is not installed");
        return Ok(());
    }
    agrees(&["-specs", MUSL], 4, 50, false)
}

/// From the first instruction on, and in many iterations: these add up to the same.
#[test]
fn iterations_add_up() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = Program::compile("mappings.c", &["-pthread"])?;
    let mut target = program.start(&["2", "300"])?;
    let mark = ["--mark-fn", "fail_to_remap", "--mark-every", "7"];
    let mut memtrace = Memtrace::attach(target.pid()).args("--format json").words(mark).start()?;
    memtrace.attached()?;
    target.send("go\n")?;
    let counts = Counts::parse(&target.expect("mapped=")?)?;
    let report = memtrace.finish()?.document()?;
    assert_eq!(report.whole_iterations(), 2 * 300 / 7);
    let steps = list(report.at("/mappings/per_iteration"));
    assert_eq!(steps.len(), report.iterations().len());
    let sum = |field: &str| steps.iter().filter_map(|step| step[field].as_i64()).sum::<i64>();
    assert_eq!(sum("mapped_bytes"), counts.of("mapped") + counts.of("heap_mapped"));
    assert_eq!(sum("unmapped_bytes"), counts.of("unmapped") + counts.of("heap_unmapped"));
    let mut live = 0;
    for step in steps {
        live += step["mapped_bytes"].as_i64().unwrap_or(0);
        live -= step["unmapped_bytes"].as_i64().unwrap_or(0);
        assert_eq!(step["live_bytes"], live);
    }
    // An iteration is seven rounds, of which each thread may be in the midst of one.
    let round = 3 * PAGE + 49 * PAGE;
    for step in &steps[..steps.len() - 1] {
        let mapped = step["mapped_bytes"].as_i64().unwrap_or(0);
        assert!(mapped > 5 * round, "{step}");
    }
    Ok(())
}

/// A mark in each round: what was mapped between two marks was born in the iteration between them, however
/// late user space hears of both.
#[test]
fn each_change_is_in_its_iteration() -> Result<()> {
    const ROUNDS: i64 = 400;
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = Program::compile("mappings.c", &["-pthread"])?;
    let mut target = program.start(&["1", &ROUNDS.to_string()])?;
    let mark = ["--mark-fn", "fail_to_remap"];
    let mut memtrace = Memtrace::attach(target.pid()).args("--format json").words(mark).start()?;
    memtrace.attached()?;
    target.send("go\n")?;
    target.expect("mapped=")?;
    let report = memtrace.finish()?.document()?;
    report.assert_ledger_closes();
    let born = |text: &str| -> Result<Vec<(i64, i64)>> {
        let (line, _) = program.line_of(text)?;
        let mut cohorts: Vec<_> = stacks_at(&report, line)
            .flat_map(|stack| list(&stack["survivors"]))
            .filter_map(|cohort| Some((cohort["born"].as_i64()?, cohort["bytes"].as_i64()?)))
            .collect();
        cohorts.sort_unstable();
        Ok(cohorts)
    };
    // Before the mark, and after it.
    let expected: Vec<_> = (1..=ROUNDS).map(|born| (born, 3 * PAGE)).collect();
    assert_eq!(born("range = mmap(NULL, len")?, expected);
    let expected: Vec<_> = (2..=ROUNDS + 1).map(|born| (born, 49 * PAGE)).collect();
    assert_eq!(born("char *kept = malloc")?, expected);
    Ok(())
}

/// More than the ring buffer takes while nobody reads it: what is missing is counted, and all else is there.
#[test]
fn what_is_lost_is_counted() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = Program::compile("mappings.c", &["-pthread"])?;
    let mut target = program.start(&["4", "1500"])?;
    let mut memtrace = Memtrace::attach(target.pid()).args("-i 1h --format json").start()?;
    memtrace.attached()?;
    memtrace.signal(rustix::process::Signal::STOP)?;
    target.send("go\n")?;
    let counts = Counts::parse(&target.expect("mapped=")?)?;
    memtrace.signal(rustix::process::Signal::CONT)?;
    let report = memtrace.finish()?.document()?;
    report.assert_ledger_closes();
    assert_heap(&report, &counts);
    assert_eq!(report.at("/mappings/complete"), false);
    assert!(report.number("/mappings/lost") > 0);
    Ok(())
}

fn agrees(flags: &[&str], threads: u32, rounds: u32, glibc: bool) -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = Program::compile("mappings.c", flags)?;
    let mut target = program.start(&[&threads.to_string(), &rounds.to_string()])?;
    let mut memtrace = Memtrace::attach(target.pid()).args("-i 1h --format json").start()?;
    memtrace.attached()?;
    target.send("go\n")?;
    let counts = Counts::parse(&target.expect("mapped=")?)?;
    let report = memtrace.finish()?.document()?;
    assert_heap(&report, &counts);
    assert_eq!(report.at("/mappings/complete"), true);
    let sum = |by_allocator: bool, field: &str| -> i64 {
        let stacks = list(report.at("/mappings/stacks")).iter();
        let stacks = stacks.filter(|stack| stack["by_allocator"] == by_allocator);
        stacks.filter_map(|stack| stack[field].as_i64()).sum()
    };
    assert_eq!(sum(false, "mapped_bytes"), counts.of("mapped"));
    assert_eq!(sum(false, "unmapped_bytes"), counts.of("unmapped"));
    assert_eq!(sum(false, "live_bytes"), counts.of("mapped") - counts.of("unmapped"));
    if glibc {
        // musl unmaps the stacks of threads that end, which are from before the trace.
        assert_eq!(report.number("/mappings/unknown_unmapped_bytes"), 0);
        assert_eq!(sum(true, "mapped_bytes"), counts.of("heap_mapped"));
        assert_eq!(sum(true, "unmapped_bytes"), counts.of("heap_unmapped"));
        // Each is the program's own line, not one within malloc or sbrk.
        let all = i64::from(threads * rounds);
        assert_eq!(grown(&report, program.line_of("range = mmap(NULL, len")?.0), all * 3 * PAGE);
        assert_eq!(grown(&report, program.line_of("char *kept = malloc")?.0), all * 49 * PAGE);
        // Five pages and a bit up, two down, by `sbrk`; three up, four down, by `brk`.
        let of_sbrk = grown(&report, program.line_of("check(sbrk(by)")?.0);
        let with_brk = grown(&report, program.line_of("check(brk(")?.0);
        assert!(
            (of_sbrk + with_brk - i64::from(rounds) * 2 * PAGE) <= PAGE + i64::from(rounds) * 110
        );
        assert!(of_sbrk > with_brk);
    }
    Ok(())
}

fn assert_heap(report: &Document, counts: &Counts) {
    report.assert_ledger_closes();
    let sum = |field: &str| -> i64 {
        report.iterations().iter().filter_map(|iteration| iteration[field].as_i64()).sum()
    };
    for (field, counted) in [
        ("alloc_blocks", "allocs"),
        ("alloc_bytes", "alloc_bytes"),
        ("free_blocks", "frees"),
        ("free_bytes", "free_bytes"),
    ] {
        assert_eq!(sum(field), counts.of(counted), "{field}");
    }
    assert_eq!(report.number("/ledger/allocs/failed"), counts.of("failed"));
}

/// What the mappings of one line of the program come to at the end.
#[track_caller]
fn grown(report: &Document, line: u64) -> i64 {
    stacks_at(report, line).filter_map(|stack| stack["growth_bytes"].as_i64()).sum()
}

/// The stacks of mappings for which a line of the program is responsible.
#[track_caller]
fn stacks_at(report: &Document, line: u64) -> impl Iterator<Item = &Value> {
    list(report.at("/mappings/stacks")).iter().filter(move |stack| {
        let responsible = stack["responsible"].as_u64().and_then(|at| usize::try_from(at).ok());
        responsible.is_some_and(|at| stack["frames"][at]["line"] == line)
    })
}

/// What the program counted.
struct Counts(HashMap<String, i64>);

impl Counts {
    fn parse(line: &str) -> Result<Self> {
        let parts = line.split_whitespace().map(|part| {
            let (name, number) = part.split_once('=').context("not name=number")?;
            Ok((name.to_owned(), number.parse()?))
        });
        parts.collect::<Result<_>>().map(Self)
    }

    #[track_caller]
    fn of(&self, name: &str) -> i64 {
        self.0[name]
    }
}

#[track_caller]
fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is not a list"))
}
