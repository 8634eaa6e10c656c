//! Random programs over every allocation function, counted by memtrace and by a library of the test's own
//! (`programs/oracle.c`) that is put in front of the allocator: each program is an iteration, and in each the
//! difference has to be 0 in blocks and in bytes.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{Book, Counts, Document, Memtrace, Program, cannot_trace, in_full};

const FLAGS: [&str; 3] = ["-O1", "-fno-builtin", "-fno-omit-frame-pointer"];

/// Not at the same time: two runs of one thread, one traced and one counted by the library. The same seeds make
/// the same calls, so the library can't have changed what memtrace sees.
#[test]
fn apart() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let seeds = if in_full() { 9000 } else { 1000 };
    let program = Program::compile("random.c", &FLAGS)?;
    let library = Program::compile("oracle.c", &["-O1", "-fno-builtin", "-shared", "-fPIC"])?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("book");
    let arguments = ["1".to_owned(), seeds.to_string()];
    let counted = Command::new(program.path())
        .args(&arguments)
        .env("LD_PRELOAD", library.path())
        .env("ORACLE_FILE", &file)
        .output()?;
    ensure!(counted.status.success(), "{counted:?}");
    let report = folder.path().join("report.json");
    let traced = memtrace(&report).arg(program.path()).words(&arguments).run()?;
    traced.expect_code(0);
    assert_eq!(
        traced.stdout,
        String::from_utf8_lossy(&counted.stdout),
        "the program computes something else"
    );
    compare(&Document::read(&report)?, &Book::read(&file)?, seeds);
    Ok(())
}

/// At the same time, with eight threads that free each other's blocks. The counting functions are the
/// outermost ones here, and pass on to those of libc: each call is counted once all the same.
#[test]
fn together() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let seeds = if in_full() { 1500 } else { 300 };
    let oracle = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/oracle.c");
    let program = Program::compile("random.c", &[FLAGS[0], FLAGS[1], FLAGS[2], oracle])?;
    let folder = tempfile::tempdir()?;
    let (file, report) = (folder.path().join("book"), folder.path().join("report.json"));
    let traced = memtrace(&report)
        .env("ORACLE_FILE", file.to_str().context("a path that is no text")?)
        .arg(program.path())
        .args("1")
        .arg(seeds.to_string())
        .arg("threads")
        .run()?;
    traced.expect_code(0);
    compare(&Document::read(&report)?, &Book::read(&file)?, seeds);
    Ok(())
}

fn memtrace(report: &Path) -> Memtrace {
    Memtrace::new(["exec", "--mark-fn", "mark_iteration", "--format", "json", "-o"])
        .arg(report)
        .arg("--")
}

fn compare(report: &Document, book: &Book, seeds: usize) {
    assert_eq!(book.marks.len(), seeds + 1);
    assert_eq!(report.whole_iterations(), seeds + 1);
    assert_eq!(book.end.unknown, 0, "the oracle itself lost track");
    // A mark begins each program, and one follows the last.
    for (seed, ends) in (1..).zip(book.marks.windows(2)) {
        let counted = numbers(ends[1].since(ends[0]));
        assert_eq!(report.counts_of(seed), counted, "seed {seed}: memtrace, and the oracle");
    }
    assert_eq!(report.counts(), numbers(book.end));
    let failed = report.number("/ledger/allocs/failed");
    assert_eq!(failed, book.end.failed);
    let live: i64 = report.stacks().iter().map(|stack| stack.number("live_bytes")).sum();
    assert_eq!(live, book.end.alloc_bytes - book.end.free_bytes);
    let survivors = report.stacks().into_iter().flat_map(|stack| stack.survivors());
    assert_eq!(survivors.map(|(_, _, bytes)| bytes).sum::<i64>(), live);
    report.assert_ledger_closes();
    let [allocs, frees, ..] = report.counts();
    println!(
        "{seeds} programs, {allocs} allocations, {frees} frees, {failed} failures: no difference"
    );
}

fn numbers(counts: Counts) -> [i64; 4] {
    [counts.allocs, counts.frees, counts.alloc_bytes, counts.free_bytes]
}
