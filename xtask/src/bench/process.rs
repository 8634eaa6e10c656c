//! A program that is started, waits for its work on standard input, and is watched while it does it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask::command::line;

/// Valgrind takes seconds to start.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(2);
const NS_PER_SECOND: f64 = 1e9;

/// A running program; however the bench ends, it is stopped.
pub(super) struct Process {
    child: Child,
    name: String,
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a program and waits until it reads its standard input.
    pub(super) fn start(mut command: Command) -> Result<Self> {
        let name = line(&command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let input = child.stdin.take();
        let output = child.stdout.take().map(BufReader::new);
        let mut process = Self { child, name, input, output };
        process.wait(|process| process.state("syscall").starts_with("0 0x0 "))?;
        Ok(process)
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to it and reads one back.
    pub(super) fn ask(&mut self, question: &str) -> Result<String> {
        let mut answer = String::new();
        if let (Some(input), Some(output)) = (&mut self.input, &mut self.output) {
            writeln!(input, "{question}").with_context(|| format!("{} is gone", self.name))?;
            output.read_line(&mut answer)?;
        }
        Ok(answer)
    }

    /// Gives it all of its work, waits for its end, and says how much CPU time that took its first thread,
    /// in seconds.
    pub(super) fn finish(&mut self, work: &str) -> Result<f64> {
        let before = self.cpu_ns()?;
        if let Some(mut input) = self.input.take() {
            input.write_all(work.as_bytes()).with_context(|| format!("{} is gone", self.name))?;
        }
        // Not yet waited for, an ended process still has its times.
        self.wait(|process| process.state("stat").contains(") Z "))?;
        let time = self.cpu_ns()? - before;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("{} failed: {status}", self.name);
        }
        Ok(time / NS_PER_SECOND)
    }

    /// Ends it, if it hasn't ended by itself.
    pub(super) fn stop(&mut self) {
        // Either may fail only because there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait(&mut self, done: impl Fn(&Self) -> bool) -> Result<()> {
        let start = Instant::now();
        while !done(self) {
            if start.elapsed() > PATIENCE {
                bail!("{} does not get on", self.name);
            }
            sleep(PAUSE);
        }
        Ok(())
    }

    fn cpu_ns(&self) -> Result<f64> {
        let times = self.state("schedstat");
        let time = times.split(' ').next().and_then(|time| time.parse().ok());
        time.context("this kernel has no /proc/PID/schedstat")
    }

    fn state(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}
