//! A process that a test started in order to have it traced.

use std::{
    io::Write as _,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::{lines::Lines, wait};

/// A running process. It ends with this value at the latest, also when the test panics.
#[derive(Debug)]
pub struct Target {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines,
}

impl Target {
    /// Starts a command with pipes for its standard input and output.
    ///
    /// # Errors
    ///
    /// Where it can't be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} can't be started", command.get_program().display()))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("no pipe")?;
        Ok(Self { child, input, output: Lines::of(output) })
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its pid, as an argument.
    pub fn pid_argument(&self) -> String {
        self.pid().to_string()
    }

    /// The next line of its output with `text` in it.
    ///
    /// # Errors
    ///
    /// Where none comes in time.
    pub fn expect(&mut self, text: &str) -> Result<String> {
        self.output.find(text)
    }

    /// Writes to its standard input.
    ///
    /// # Errors
    ///
    /// Where it doesn't read any more.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let input = self.input.as_mut().context("its input is closed")?;
        input.write_all(text.as_bytes())?;
        Ok(input.flush()?)
    }

    /// Closes its standard input.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Whether it still runs.
    ///
    /// # Errors
    ///
    /// Where the kernel doesn't say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// Where it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Waits for its end by itself, and takes all that it printed.
    ///
    /// # Errors
    ///
    /// Where it doesn't end in time.
    pub fn finish(mut self) -> Result<(String, ExitStatus)> {
        let status = self.wait()?;
        let output = std::mem::replace(&mut self.output, Lines::of(std::io::empty()));
        Ok((output.rest(), status))
    }

    /// Waits for its end by itself.
    ///
    /// # Errors
    ///
    /// Where it doesn't end in time.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.input = None;
        wait::for_end(&mut self.child, wait::LONG)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Only ever a child of ours that was not waited for: its pid can't have come to mean another.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
