//! One run of a script, which says itself how long its work took.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use memtrace_tests::Python;

use super::super::variant::{Tools, attach};
use super::scripts::Way;
use super::source;

const NS_PER_MS: f64 = 1e6;

/// What is run, and how.
pub(super) struct Script<'a> {
    pub(super) python: &'a Python,
    pub(super) way: &'a Way,
    pub(super) work: &'static str,
    /// A folder with a C library of its own.
    pub(super) libc: &'a Path,
}

impl Script<'_> {
    /// CPU time of its work, in ms.
    pub(super) fn run(&self, tools: &Tools, folder: &Path) -> Result<f64> {
        let mut child = self.command(tools, folder).spawn().context("cannot start the script")?;
        let taken = self.watch(&mut child, tools);
        if taken.is_err() {
            // It may wait for its work still. Fails only where it has ended.
            let _ = child.kill();
        }
        let status = child.wait()?;
        let taken = taken.with_context(|| format!("{:?}: {status}", self.way))?;
        ensure!(status.success(), "{:?}: {status}", self.way);
        // Some 100 MB, in one of the ways.
        let _ = fs::remove_file(folder.join("memray.bin"));
        Ok(taken)
    }

    fn watch(&self, child: &mut Child, tools: &Tools) -> Result<f64> {
        let mut input = child.stdin.take().context("no standard input")?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let mut line = || lines.next().context("the script ended").and_then(|line| Ok(line?));
        while line()? != "ready" {}
        let tracer = match self.way {
            Way::Attached(options) => Some(attach(tools.memtrace(), child.id(), options)?),
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

    fn command(&self, tools: &Tools, folder: &Path) -> Command {
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
            command.args(["-o", "/dev/null", "--", "env"]);
        }
        command.arg(library).args(words).env_remove("PYTHONMALLOC").env_remove("PYTHONPATH");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }
}
