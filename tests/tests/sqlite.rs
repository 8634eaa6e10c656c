//! A program that keeps its own books: `sqlite3` counts the bytes that it has from malloc. Its figure and
//! memtrace's have to agree.
//!
//! How sqlite counts (`mem1.c`, built without `malloc_usable_size`, as distributions do): a request is rounded
//! up to 8 bytes and that is what "Memory Used" adds up; malloc is asked for 8 more, in which the size is kept. So what
//! malloc was asked for is "Memory Used" plus 8 bytes for each of the "Outstanding Allocations". Blocks of
//! the shell itself and of libc (lines that were read, stream buffers) are not in its figure.

use std::process::Command;

use anyhow::{Context as _, Result};
use memtrace_tests::{Document, Memtrace, Target, cannot_trace};
use rustix::process::Signal;

const HEADER: i64 = 8;
const ROWS: usize = 20_000;

/// What the shell's `.stats` prints.
#[derive(Clone, Copy, Debug)]
struct Books {
    used: i64,
    outstanding: i64,
}

impl Books {
    /// What malloc was asked for.
    fn requested(self) -> i64 {
        self.used + HEADER * self.outstanding
    }

    /// Has the shell print them. It handles all that it was sent before first.
    fn ask(shell: &mut Target) -> Result<Self> {
        shell.send(".stats\n")?;
        let used = first_number(&shell.expect("Memory Used:")?)?;
        let outstanding = first_number(&shell.expect("Number of Outstanding Allocations:")?)?;
        shell.send(".print handled\n")?;
        shell.expect("handled")?;
        Ok(Self { used, outstanding })
    }
}

/// Attached in the middle of its life: growth between two points is what sqlite says, but for the headers and
/// for what it freed of the time before.
#[test]
fn growth_between_two_points() -> Result<()> {
    if cannot_trace(&["sqlite3"]) {
        return Ok(());
    }
    let mut shell = Target::start(&mut shell())?;
    shell.send("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT);\n")?;
    shell.send(&inserts(0..100))?;
    let before = Books::ask(&mut shell)?;
    let mut memtrace = Memtrace::attach(shell.pid()).args("-i 1h -n 1 --format json").start()?;
    memtrace.attached()?;
    shell.send(&inserts(100..ROWS))?;
    let after = Books::ask(&mut shell)?;
    memtrace.signal(Signal::INT)?;
    let report = memtrace.finish()?.document()?;
    report.assert_ledger_closes();
    let sqlite = after.used - before.used;
    let traced = report.number("/totals/net_bytes");
    let difference = (traced - sqlite) as f64 / sqlite as f64;
    println!("sqlite: {sqlite} B, memtrace: {traced} B, difference {:.3} %", difference * 100.0);
    println!("with headers: {} B", after.requested() - before.requested());
    assert!(sqlite > 1 << 20, "too little to compare: {sqlite} B");
    assert!(difference.abs() < 0.01, "sqlite says {sqlite} B, memtrace {traced} B");
    Ok(())
}

/// From its first instruction on: every byte.
#[test]
fn everything_it_has() -> Result<()> {
    if cannot_trace(&["sqlite3"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let shell = shell();
    let mut command =
        Memtrace::new(["exec", "--mark-fn", "sqlite3_status64", "--format", "json", "-o"])
            .arg(&file)
            .arg("--")
            .arg(shell.get_program())
            .words(shell.get_args())
            .into_target()?;
    command.send("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT);\n")?;
    command.send(&inserts(0..ROWS))?;
    let books = Books::ask(&mut command)?;
    assert!(command.wait()?.success());
    let report = Document::read(&file)?;
    report.assert_ledger_closes();
    // The last mark is in the last `.stats`: growth is what lives then.
    let own = report.stacks().into_iter().filter(|stack| stack.module().contains("libsqlite3"));
    let traced: i64 = own.map(|stack| stack.growth_bytes()).sum();
    println!("sqlite: {books:?}, memtrace: {traced} B");
    assert_eq!(traced, books.requested());
    Ok(())
}

fn shell() -> Command {
    let mut shell = Command::new("sqlite3");
    // Without the start file of whoever runs the test.
    shell.args(["-batch", "-init", "/dev/null", ":memory:"]);
    shell
}

fn inserts(rows: std::ops::Range<usize>) -> String {
    use std::fmt::Write as _;
    let mut statements = String::new();
    for row in rows {
        let text = "x".repeat(row * 7919 % 400);
        let _ = writeln!(statements, "INSERT INTO t VALUES ({row}, '{text}');");
    }
    statements
}

fn first_number(line: &str) -> Result<i64> {
    let mut numbers = line.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    Ok(numbers.next().with_context(|| format!("no number in {line:?}"))?.parse()?)
}
