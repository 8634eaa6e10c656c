//! One run of a command under trace: from its start to its end. `exec` makes one or more of them.

use std::{
    ffi::OsString,
    os::unix::process::ExitStatusExt as _,
    process::{Child, ExitStatus},
};

use nix::sys::wait::WaitStatus;

use super::{
    SessionError,
    follow::Ended,
    memory::MemoryReader,
    pid::{check_hazards, load},
    prober::Prober,
    recorder::Recorder,
    steps::Steps,
    unwinding::Unwinding,
};
use crate::{
    cli::TraceConfig,
    python_objects::is_python_command,
    target::{Held, Identity, Process, Progress},
};

/// A command that was started and held before its first instruction.
#[derive(Debug)]
pub(super) struct Launch {
    held: Held,
    pub(super) process: Process,
    counts_objects: bool,
    is_python: bool,
    steps: Steps,
}

impl Launch {
    /// Starts it, with these variables in its environment; `counts_objects` says whether each of Python's objects is to be a
    /// block.
    ///
    /// # Errors
    ///
    /// Where it can't be executed or traced.
    pub(super) fn of(
        command: &[OsString],
        identity: Option<&Identity>,
        environment: &[(&str, OsString)],
        counts_objects: bool,
    ) -> Result<Self, SessionError> {
        let mut steps = Steps::start();
        let held = Held::start(command, identity, environment)?;
        let process = Process::open(held.pid())?;
        steps.done("starting the command");
        let is_python = is_python_command(command);
        Ok(Self { held, process, counts_objects, is_python, steps })
    }
}

/// A command that runs, and what is recorded of it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) recorder: Recorder,
    pub(super) child: Child,
    /// How it ended, if it did so before its program's first instruction.
    ended: Option<ExitStatus>,
}

impl Run {
    /// Lets the command run, probed from its first instruction on. The books of an `earlier` run are gone on with.
    ///
    /// # Errors
    ///
    /// Whatever kept the command from running.
    pub(super) fn start(
        config: &TraceConfig,
        launch: Launch,
        mut earlier: Option<&mut Recorder>,
    ) -> Result<Self, SessionError> {
        let Launch { held, process, counts_objects, is_python, mut steps } = launch;
        let mut kernel = load(config, &process, counts_objects)?;
        steps.done("loading the eBPF programs");
        kernel.watch_processes()?;
        if counts_objects || is_python {
            // From the start: an interpreter makes thousands of stacks before it is ready.
            kernel.hold_when_full(config.max_stacks)?;
        }
        // Objects keep their numbers from run to run, and so a stack its id.
        let modules = earlier.as_mut().map(|earlier| std::mem::take(&mut earlier.modules));
        let mut modules = modules.unwrap_or_default();
        let mut prober = Prober::new(held.pid(), config);
        let mut unwinding = Unwinding::new(&kernel)?;
        // From the first probe on: the dynamic linker's own calls count too.
        kernel.start()?;
        prober.probe_known(&mut kernel, &modules)?;
        let mut memory = MemoryReader::default();
        let launched = held.run_to_entry(|progress| {
            // Each time: a shadow stack is the dynamic linker's doing.
            check_hazards(config, prober.pid())?;
            prober.refresh(&mut kernel, &mut modules, &mut unwinding)?;
            if process.is_single_threaded() {
                kernel.target_stands_still();
            }
            // Each time as well: constructors allocate before the program's entry.
            unwinding.finish(&mut kernel)?;
            if progress == Progress::AtEntry {
                // It runs on while we make ready to follow it.
                kernel.hold_images(true)?;
                memory = MemoryReader::starting(&process, kernel.state()?.live_bytes);
                return prober.check(&modules);
            }
            Ok::<(), SessionError>(())
        })?;
        steps.done("setting probes, up to the program's entry");
        tracing::debug!("{} after {:.2} s", prober.summary(), steps.total().as_secs_f64());
        let recorder = Recorder::start(kernel, process, modules, prober, unwinding, memory, config);
        if recorder.is_err() {
            // Nobody else lets it go on, if it was stopped meanwhile.
            let child = rustix::process::Pid::from_child(&launched.child);
            let _ = rustix::process::kill_process(child, rustix::process::Signal::CONT);
        }
        let mut recorder = recorder?;
        if let Some(earlier) = earlier {
            recorder.go_on_after(earlier)?;
        }
        let ended = launched.ended.map(exit_status);
        recorder.repeated.ended_early = ended;
        Ok(Self { recorder, child: launched.child, ended })
    }

    /// How the command ended; `None` where the trace did before it.
    ///
    /// # Errors
    ///
    /// Where that can't be learned.
    pub(super) fn status(&mut self, ended: Ended) -> Result<Option<ExitStatus>, SessionError> {
        match (self.ended, ended) {
            (Some(status), _) => Ok(Some(status)),
            (None, Ended::Target) => self.child.wait().map(Some).map_err(SessionError::Wait),
            (None, _) => Ok(None),
        }
    }
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    ExitStatus::from_raw(match status {
        WaitStatus::Exited(_, code) => code << 8,
        WaitStatus::Signaled(_, signal, _) => signal as i32,
        _ => 0,
    })
}
