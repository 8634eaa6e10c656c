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
/// `USER_HZ`, the unit of times in /proc, is the same on all machines that we support.
const TICKS_PER_SECOND: f64 = 100.0;

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

    /// Gives it all of its work, waits for its end, and says how much CPU time that took, in seconds.
    pub(super) fn finish(&mut self, work: &str) -> Result<f64> {
        let before = self.ticks();
        if let Some(mut input) = self.input.take() {
            input.write_all(work.as_bytes()).with_context(|| format!("{} is gone", self.name))?;
        }
        // Not yet waited for, an ended process still has its times.
        self.wait(|process| process.fields().first().is_some_and(|state| state == "Z"))?;
        let ticks = self.ticks() - before;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("{} failed: {status}", self.name);
        }
        Ok(ticks / TICKS_PER_SECOND)
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

    /// User and system time of all its threads, in ticks.
    fn ticks(&self) -> f64 {
        let fields = self.fields();
        let times = fields.get(11..13).unwrap_or_default().iter();
        times.filter_map(|ticks| ticks.parse::<f64>().ok()).sum()
    }

    /// The fields of its `stat` from the state on.
    fn fields(&self) -> Vec<String> {
        let stat = self.state("stat");
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        fields.split_whitespace().map(str::to_owned).collect()
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
