//! One run of a script, which says itself how long its work took.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use memtrace_tests::Python;

use super::super::variant::{Tools, attach};
use super::scripts::Way;
use super::source;

const NS_PER_MS: f64 = 1e6;
/// Allocations that every work makes of `malloc`, and more.
const FEWEST: u64 = 100;
/// Objects that every work makes, and more; an interpreter's start makes fewer.
const FEWEST_OBJECTS: u64 = 100_000;

/// What is run, and how.
pub(super) struct Script<'a> {
    pub(super) python: &'a Python,
    pub(super) way: &'a Way,
    pub(super) work: &'static str,
    /// A folder with a C library of its own.
    pub(super) libc: &'a Path,
}

impl Script<'_> {
    /// CPU time of its work, in ms. An error where that is not what it is meant to be: work that nobody has traced, say.
    pub(super) fn run(&self, tools: &Tools, folder: &Path) -> Result<f64> {
        let said = folder.join("script.stderr");
        let taken = self.watched(tools, folder, &said);
        taken.with_context(|| {
            format!(
                "{:?} of {}: {}",
                self.way,
                self.work,
                fs::read_to_string(said).unwrap_or_default()
            )
        })
    }

    fn watched(&self, tools: &Tools, folder: &Path, said: &Path) -> Result<f64> {
        let report = folder.join("script.report");
        // What an earlier run has written says nothing of this one.
        let _ = fs::remove_file(&report);
        let mut child = self
            .command(tools, folder, &report)
            .stderr(File::create(said)?)
            .spawn()
            .context("cannot start the script")?;
        let taken = self.watch(&mut child, tools, &report);
        if taken.is_err() {
            // It may wait for its work still. Fails only where it has ended.
            let _ = child.kill();
        }
        let status = child.wait()?;
        let taken = taken.with_context(|| status.to_string())?;
        ensure!(status.success(), "{status}");
        if matches!(self.way, Way::Attached(_) | Way::Exec) {
            check(&fs::read_to_string(&report)?, self.way.counts_objects())?;
        }
        // Some 100 MB, in one of the ways.
        let _ = fs::remove_file(folder.join("memray.bin"));
        Ok(taken)
    }

    fn watch(&self, child: &mut Child, tools: &Tools, report: &Path) -> Result<f64> {
        let mut input = child.stdin.take().context("no standard input")?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let mut line = || lines.next().context("the script ended").and_then(|line| Ok(line?));
        while line()? != "ready" {}
        let tracer = match self.way {
            Way::Attached(options) => Some(attach(tools.memtrace(), child.id(), options, report)?),
            _ => None,
        };
        writeln!(input, "go")?;
        let taken: f64 = line()?.parse().context("the script says no time")?;
        drop(input);
        if let Some(mut tracer) = tracer {
            // It ends with its target, and then waits for its probes to go: the next run is not to feel that.
            child.wait()?;
            tracer.wait()?;
        }
        Ok(taken / NS_PER_MS)
    }

    fn command(&self, tools: &Tools, folder: &Path, report: &Path) -> Command {
        let interpreter = match self.way {
            Way::Memray(interpreter, _) => interpreter,
            _ => &self.python.path,
        };
        let mut words: Vec<OsString> = vec![interpreter.into()];
        words.extend(self.way.options(folder));
        words.extend([source("python_script.py").into(), self.work.into()]);
        let mut library = OsString::from("LD_LIBRARY_PATH=");
        library.push(self.libc);
        // By `env`, lest memtrace itself has the library that it probes.
        let mut command = Command::new(if *self.way == Way::Exec {
            tools.memtrace().as_os_str()
        } else {
            "env".as_ref()
        });
        if *self.way == Way::Exec {
            command.args(["exec", "--as-root", "--python-objects", "exact", "--force"]);
            command.arg("-o").arg(report).args(["--", "env"]);
        }
        command.arg(library).args(words).env_remove("PYTHONMALLOC").env_remove("PYTHONPATH");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }
}

/// Whether all of it was traced: "recorded 434033 of 434033 allocations, …, nothing lost".
fn check(report: &str, objects: bool) -> Result<()> {
    let fewest = if objects { FEWEST_OBJECTS } else { FEWEST };
    let summary = report.lines().find_map(|line| line.strip_prefix("recorded "));
    let summary = summary.context("a report without a summary")?;
    let recorded: u64 =
        summary.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or_default();
    ensure!(recorded >= fewest && summary.ends_with("nothing lost"), "recorded {summary}");
    Ok(())
}
