//! `exec --runs`: each run of the command is an iteration, and what lives at its exit is compared by stack.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use memtrace_tests::{Document, Memtrace, Program, Stack, cannot_trace, until};
use rustix::process::Signal;

const FLAGS: [&str; 2] = ["-O1", "-fno-builtin"];

/// A program, and a folder for its count of runs and memtrace's report.
struct Runs {
    program: Program,
    folder: tempfile::TempDir,
}

impl Runs {
    fn new() -> Result<Self> {
        Ok(Self { program: Program::compile("runs.cc", &FLAGS)?, folder: tempfile::tempdir()? })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn exec(&self, options: &str) -> Memtrace {
        exec_into(&self.file("report"), options)
    }

    fn report(&self) -> Result<Document> {
        let report = Document::read(&self.file("report"))?;
        report.assert_ledger_closes();
        Ok(report)
    }

    fn runs(&self) -> Result<u32> {
        Ok(fs::read_to_string(self.file("count"))?.parse()?)
    }

    /// The one stack at the line with this comment.
    fn stack<'a>(&self, report: &'a Document, comment: &str) -> Result<Stack<'a>> {
        let (line, _) = self.program.line_of(comment)?;
        let stacks = report.stacks_at(self.program.source(), line);
        assert_eq!(stacks.len(), 1, "{comment}: one stack in all runs");
        stacks.first().copied().context("no stack")
    }
}

fn exec_into(report: &Path, options: &str) -> Memtrace {
    Memtrace::new(["exec", "--format", "json", "-o"]).arg(report).args(options).arg("--")
}

#[test]
fn what_lives_at_exit_is_compared_by_stack() -> Result<()> {
    if cannot_trace(&["c++"]) {
        return Ok(());
    }
    let runs = Runs::new()?;
    let command = [runs.program.path(), &runs.file("count")];
    runs.exec("--runs 5 --warmup 1").words(command).run()?.expect_code(0);
    assert_eq!(runs.runs()?, 5);
    let report = runs.report()?;
    for (iteration, number) in report.iterations().iter().zip(1_i64..) {
        assert_eq!(iteration["trigger"], "run");
        assert_eq!(
            (&iteration["warmup"], &iteration["partial"]),
            (&(number == 1).into(), &false.into())
        );
        let kept = number * 10_000 + 5000 + (10 - number) * 100;
        let live = iteration["live_bytes"].as_i64().context("no number")?;
        let others = live - kept;
        // The C++ library keeps a reserve for its exceptions.
        assert!((70_000..80_000).contains(&others), "{others} bytes besides");
        let peak = iteration["peak_bytes"].as_i64().context("no number")?;
        assert!(peak >= live + 30_000 && peak < live + 40_000, "{peak} {live}");
    }
    assert_eq!(report.iterations().len(), 5);
    let more = runs.stack(&report, "more in each run")?;
    assert_eq!(more.net(), [(10_000, 10); 5]);
    assert_eq!((more.growth_bytes(), more.number("live_bytes")), (40_000, 50_000));
    assert_eq!((more.verdict(), more.bytes_per_iteration()), ("growing", 10_000.0));
    assert_eq!(more.survivors(), [(5, 50, 50_000)]);
    let same = runs.stack(&report, "the same in each run")?;
    assert_eq!(same.net(), [(5000, 1), (0, 0), (0, 0), (0, 0), (0, 0)]);
    assert_eq!((same.verdict(), same.number("alloc_bytes")), ("stable", 25_000));
    let less = runs.stack(&report, "less in each run")?;
    assert_eq!(less.net(), [(900, 9), (-100, -1), (-100, -1), (-100, -1), (-100, -1)]);
    assert_eq!(less.verdict(), "shrinking");
    let nothing = runs.stack(&report, "nothing in any run")?;
    assert_eq!((nothing.net(), nothing.number("alloc_blocks")), (vec![(0, 0); 5], 250));
    assert_eq!(report.number("/totals/net_bytes"), 4 * (10_000 - 100));
    Ok(())
}

/// The interpreter's objects lie elsewhere in each run.
#[test]
fn python() -> Result<()> {
    const SCRIPT: &str = "import os, sys; path = sys.argv[1]
n = int(open(path).read() or 0) + 1
print(n, file=open(path, 'w'), end='', flush=True)
kept = bytes(n * 1_000_000)
os._exit(0)";
    if cannot_trace(&["python3"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let (count, report) = (folder.path().join("count"), folder.path().join("report"));
    fs::write(&count, "")?;
    // What is called python3 may be a script that replaces itself.
    let asked =
        Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output()?;
    let python = String::from_utf8(asked.stdout)?;
    let command = [python.trim(), "-c", SCRIPT];
    // One block matters. Each small object besides would be some thousand stacks a run.
    let options = "--runs 5 --warmup 1 --python-objects off";
    exec_into(&report, options).words(command).arg(&count).run()?.expect_code(0);
    let report = Document::read(&report)?;
    report.assert_ledger_closes();
    let stacks = report.stacks();
    let large = stacks.iter().find(|stack| stack.number("live_bytes") > 5_000_000);
    let large = large.context("nothing of 5 MB lives")?;
    let header = large.number("live_bytes") - 5_000_000;
    assert!((1..100).contains(&header), "{header}");
    let more = (1_000_000, 0);
    assert_eq!(large.net(), [(1_000_000 + header, 1), more, more, more, more]);
    assert_eq!((large.verdict(), large.bytes_per_iteration()), ("growing", 1_000_000.0));
    assert_eq!(large.unwind(), "complete");
    Ok(())
}

#[test]
fn a_run_that_fails_is_the_last() -> Result<()> {
    ends_with("fail", 7)
}

#[test]
fn a_run_that_a_signal_ends_is_the_last() -> Result<()> {
    ends_with("crash", 143)
}

#[test]
fn an_interrupt_ends_the_present_run() -> Result<()> {
    if cannot_trace(&["c++"]) {
        return Ok(());
    }
    let runs = Runs::new()?;
    let (count, released) = (runs.file("count"), runs.file("released"));
    let command = [runs.program.path(), &count, Path::new("wait"), Path::new("2"), &released];
    let mut memtrace = runs.exec("--runs 4").words(command).start()?;
    memtrace.reports("waiting")?;
    memtrace.signal(Signal::INT)?;
    let written = || Document::read(&runs.file("report")).is_ok();
    until("there is a report", written)?;
    fs::write(released, "")?; // the command goes on by itself, and its status is passed on
    memtrace.finish()?.expect_code(0);
    assert_eq!(runs.runs()?, 2, "no further runs");
    cut_short(&runs, &runs.report()?)
}

fn ends_with(how: &str, code: i32) -> Result<()> {
    if cannot_trace(&["c++"]) {
        return Ok(());
    }
    let runs = Runs::new()?;
    let command = [runs.program.path(), &runs.file("count"), Path::new(how), Path::new("2")];
    runs.exec("--runs 4").words(command).run()?.expect_code(code);
    assert_eq!(runs.runs()?, 2, "no further runs");
    let report = runs.report()?;
    assert_eq!(report.number("/target/exit_status"), i64::from(code));
    cut_short(&runs, &report)
}

/// The second run is shown, and counts for nothing.
fn cut_short(runs: &Runs, report: &Document) -> Result<()> {
    let [first, second] = report.iterations() else { anyhow::bail!("not two iterations") };
    assert_eq!((&first["trigger"], &first["warmup"]), (&"run".into(), &true.into()));
    assert_eq!((&second["trigger"], &second["partial"]), (&"end".into(), &true.into()));
    let more = runs.stack(report, "more in each run")?;
    assert_eq!((more.net(), more.growth_bytes()), (vec![(10_000, 10); 2], 0));
    Ok(())
}
