//! A program that counts its own calls, on 1, 4 and 16 threads: memtrace's figures have to be the same, in
//! blocks and in bytes, with nothing left over in the ledger.

use anyhow::{Context as _, Result};
use memtrace_tests::{Document, Memtrace, Program, Target, cannot_trace, in_full, until};
use rustix::process::Signal;

const FLAGS: [&str; 3] = ["-O1", "-fno-builtin", "-fno-omit-frame-pointer"];

/// How often a minute may pass before the long version is given up.
const PATIENCE: usize = 20;

#[test]
fn attached_to_one_thread() -> Result<()> {
    attached(1)
}

#[test]
fn attached_to_4_threads() -> Result<()> {
    attached(4)
}

#[test]
fn attached_to_16_threads() -> Result<()> {
    attached(16)
}

#[test]
fn one_thread_under_exec() -> Result<()> {
    under_exec(1)
}

#[test]
fn sixteen_threads_under_exec() -> Result<()> {
    under_exec(16)
}

/// Iterations cut the run anywhere; their sum must not change.
#[test]
fn attached_with_a_mark_each_millisecond() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let (report, own) = trace(4, "-i 1ms -n 1000000")?;
    // How many there are is a matter of the machine's speed; that it was cut often, and not once, is not.
    println!("{} iterations", report.iterations().len());
    assert!(report.iterations().len() > 20, "{} iterations", report.iterations().len());
    assert_same(&report, own, 4);
    Ok(())
}

fn attached(threads: usize) -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let (report, own) = trace(threads, "-i 1h")?;
    assert_same(&report, own, threads);
    println!("{threads} threads: {own:?}: no difference");
    Ok(())
}

fn trace(threads: usize, arguments: &str) -> Result<(Document, [i64; 4])> {
    let program = Program::compile("self_counting.c", &FLAGS)?;
    let mut target = Target::start(&mut program.command(&[&threads.to_string(), &events(), "7"]))?;
    let tasks = format!("/proc/{}/task", target.pid());
    until("the threads are there", || {
        std::fs::read_dir(&tasks).is_ok_and(|tasks| tasks.count() == threads + 1)
    })?;
    let mut memtrace =
        Memtrace::attach(target.pid()).args(arguments).args("--format json --strict").start()?;
    memtrace.attached()?;
    target.send("go\n")?;
    let own = own_counts(&mut target)?;
    memtrace.signal(Signal::INT)?;
    let report = memtrace.finish()?.document()?;
    target.send("end\n")?;
    assert!(target.wait()?.success());
    Ok((report, own))
}

fn assert_same(report: &Document, own: [i64; 4], threads: usize) {
    assert_eq!(report.counts(), own, "memtrace, and the program itself");
    report.assert_ledger_closes();
    assert_eq!(report.number("/ledger/allocs/recorded"), own[0]);
    assert_eq!(report.number("/ledger/frees/recorded"), own[1]);
    // What the end of a thread frees is from before the trace; nothing else is unknown.
    let unknown = report.number("/ledger/frees/lost/unknown_free");
    assert!(unknown <= 4 * threads as i64, "{unknown} frees of unknown blocks");
    assert_eq!(report.number("/ledger/frees/seen"), own[1] + unknown);
    assert_eq!(report.number("/ledger/allocs/pending"), 0);
}

/// From the first instruction on the C library's own blocks count too: so only the program's own lines are
/// compared, and for the whole the ledger has to close with nothing lost.
fn under_exec(threads: usize) -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = Program::compile("self_counting.c", &FLAGS)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let mut target = Memtrace::new(["exec", "--strict", "--format", "json", "-o"])
        .arg(&file)
        .arg("--")
        .arg(program.path())
        .words([&threads.to_string(), &events(), "7"])
        .into_target()?;
    target.send("go\nend\n")?;
    let own = own_counts(&mut target)?;
    assert!(target.wait()?.success());
    let report = Document::read(&file)?;
    report.assert_ledger_closes();
    assert_eq!(report.number("/ledger/frees/lost/unknown_free"), 0);
    let mut traced = [0; 4];
    for stack in report.stacks() {
        if stack.module() == program.path().to_string_lossy() {
            let (blocks, bytes) = (stack.number("alloc_blocks"), stack.number("alloc_bytes"));
            traced[0] += blocks;
            traced[1] += blocks - stack.number("live_blocks");
            traced[2] += bytes;
            traced[3] += bytes - stack.number("live_bytes");
        }
    }
    assert_eq!(traced, own, "memtrace, and the program itself");
    Ok(())
}

fn events() -> String {
    if in_full() { 10_000_000 } else { 300_000 }.to_string()
}

/// Allocations, frees, allocated bytes, freed bytes.
fn own_counts(target: &mut Target) -> Result<[i64; 4]> {
    let mut line = target.expect("allocs=");
    for _ in 0..PATIENCE {
        if line.is_ok() || !in_full() {
            break;
        }
        line = target.expect("allocs=");
    }
    let line = line?;
    let field = |name: &str| -> Result<i64> {
        let mut fields = line.split_whitespace().filter_map(|field| field.split_once('='));
        let (_, value) = fields.find(|(field, _)| *field == name).context("a field is missing")?;
        Ok(value.parse()?)
    };
    Ok([field("allocs")?, field("frees")?, field("alloc_bytes")?, field("free_bytes")?])
}
