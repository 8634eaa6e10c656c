//! Running memtrace, and what came of it.

use std::{
    ffi::{OsStr, OsString},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Document, Target, binary::memtrace_binary, lines::Lines, wait};

/// A command line of memtrace in the making.
#[derive(Debug)]
#[must_use]
pub struct Memtrace {
    command: Command,
}

impl Memtrace {
    /// `memtrace ARGUMENTS`.
    pub fn new<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> Self {
        let mut command = Command::new(memtrace_binary());
        command.args(arguments);
        Self::run_by(command)
    }

    /// A command that becomes memtrace by `execve`.
    pub fn run_by(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What is set outside is not the test's.
        command.env_remove("MEMTRACE_DEBUG").env_remove("SUDO_UID");
        Self { command }
    }

    /// Attaches to a process.
    pub fn attach(pid: u32) -> Self {
        Self::new(["--pid".to_owned(), pid.to_string()])
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments, written as one would type them: separated by blanks.
    pub fn args(mut self, arguments: &str) -> Self {
        self.command.args(arguments.split_whitespace());
        self
    }

    /// Adds arguments that may have blanks in them.
    pub fn words<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, words: I) -> Self {
        self.command.args(words);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// The program and its arguments, for a command that runs it in another place.
    pub fn command_line(&self) -> Vec<OsString> {
        let program = self.command.get_program();
        std::iter::once(program).chain(self.command.get_args()).map(OsStr::to_owned).collect()
    }

    /// Starts it as what a command under `exec` looks like from outside: by its standard input and output.
    /// Standard error is the test's.
    ///
    /// # Errors
    ///
    /// Where it can't be started.
    pub fn into_target(mut self) -> Result<Target> {
        self.command.stderr(Stdio::inherit());
        Target::start(&mut self.command)
    }

    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// Where it does not end in time.
    pub fn run(self) -> Result<Finished> {
        self.start()?.finish()
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// Where it can't be started.
    pub fn start(mut self) -> Result<Running> {
        let mut child = self.command.spawn().context("memtrace can't be started")?;
        let output = child.stdout.take().context("no pipe")?;
        let talk = child.stderr.take().context("no pipe")?;
        Ok(Running { child, output: Lines::of(output), talk: Lines::of(talk) })
    }
}

/// A memtrace at work. It ends with this value at the latest.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: Lines,
    talk: Lines,
}

impl Running {
    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it is attached to a process. The line in which it says so.
    ///
    /// # Errors
    ///
    /// Where it doesn't say so.
    pub fn attached(&mut self) -> Result<String> {
        self.talk.find("attached to ")
    }

    /// Waits for a line on standard error with `text` in it.
    ///
    /// # Errors
    ///
    /// Where none comes.
    pub fn says(&mut self, text: &str) -> Result<String> {
        self.talk.find(text)
    }

    /// Waits for a line of the report with `text` in it.
    ///
    /// # Errors
    ///
    /// Where none comes.
    pub fn reports(&mut self, text: &str) -> Result<String> {
        self.output.find(text)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// Where it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Waits for its end, and takes all that it printed.
    ///
    /// # Errors
    ///
    /// Where it does not end in time.
    pub fn finish(mut self) -> Result<Finished> {
        let start = Instant::now();
        let status = wait::for_end(&mut self.child, wait::LONG);
        let took = start.elapsed();
        let _ = self.child.kill(); // has an effect only where it did not end, and lets the lines end
        let empty = || Lines::of(std::io::empty());
        let stdout = std::mem::replace(&mut self.output, empty()).rest();
        let stderr = std::mem::replace(&mut self.talk, empty()).rest();
        let status = status.with_context(|| format!("memtrace said:\n{stdout}{stderr}"))?;
        Ok(Finished { status, stdout, stderr, took })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is left of a run.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All of standard output.
    pub stdout: String,
    /// All of standard error.
    pub stderr: String,
    /// From the moment that the test began to wait.
    pub took: Duration,
}

impl Finished {
    /// The exit code; `None` after a signal.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Asserts the exit code, showing what memtrace said if it is another.
    ///
    /// # Panics
    ///
    /// If it is another.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(
            self.code(),
            Some(code),
            "{}\nstdout: {}\nstderr: {}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The JSON report on standard output, of a run that succeeded.
    ///
    /// # Errors
    ///
    /// Where it is not one document.
    #[track_caller]
    pub fn document(&self) -> Result<Document> {
        self.expect_code(0);
        Document::parse(&self.stdout)
    }
}
