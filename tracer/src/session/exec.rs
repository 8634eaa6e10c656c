//! `memtrace exec`: start a command, trace it from its first instruction, pass its status on.

use std::{
    ffi::OsString,
    os::unix::process::ExitStatusExt as _,
    process::{Child, ExitStatus},
};

use nix::{
    sys::signal::{Signal, kill},
    sys::wait::WaitStatus,
    unistd,
};

use super::{
    SessionError,
    follow::{Ended, Signals, follow, watch},
    judging::Judge,
    marks::Marks,
    pid::{check_hazards, load, tell_memory},
    prober::Prober,
    recorder::Recorder,
    sink::Sink,
    steps::Steps,
    unwinding::Unwinding,
    writer::Writer,
};
use crate::{
    cli::{Exit, TraceConfig},
    target::{Held, Identity, Modules, Process, Progress},
};

/// Runs a command under trace.
///
/// # Errors
///
/// Whatever kept the command from running, or the run from giving a report.
pub(super) async fn run(
    config: &TraceConfig,
    command: &[OsString],
    as_root: bool,
) -> Result<Exit, SessionError> {
    let mut steps = Steps::start();
    let mut signals = Signals::catch()?;
    let mut marks = Marks::open(config)?;
    let judge = Judge::open(config)?;
    let sink = Sink::open(&config.output)?;
    let identity = if as_root { None } else { Identity::behind_sudo()? };
    let held = Held::start(command, identity.as_ref())?;
    let process = Process::open(held.pid())?;
    steps.done("starting the command");
    let mut kernel = load(config, &process)?;
    steps.done("loading the eBPF programs");
    kernel.watch_processes()?;
    let mut modules = Modules::default();
    let mut prober = Prober::new(held.pid(), config);
    let mut unwinding = Unwinding::new(&kernel)?;
    let mut writer = Writer::new(config, sink, judge, &process);
    // From the first probe on: the dynamic linker's own calls count too.
    kernel.start()?;
    let launched = held.run_to_entry(|progress| {
        // Each time: a shadow stack is the dynamic linker's doing.
        check_hazards(config, prober.pid())?;
        prober.refresh(&mut kernel, &mut modules, &mut unwinding)?;
        if process.is_single_threaded() {
            kernel.target_stands_still();
        }
        // Each time as well: constructors allocate before the program's entry.
        unwinding.finish(&mut kernel)?;
        if progress == Progress::AtEntry { prober.check(&modules) } else { Ok(()) }
    })?;
    steps.done("setting probes, up to the program's entry");
    tracing::debug!("{} after {:.2} s", prober.summary(), steps.total().as_secs_f64());
    let mut child = launched.child;
    let mut recorder = Recorder::start(kernel, process, modules, prober, unwinding, config)?;
    let ended = follow(&mut recorder, &mut writer, config, &mut signals, &mut marks).await?;
    tell_memory(&recorder.kernel, "at the end");
    let status = match (launched.ended, ended) {
        (Some(status), _) => Some(exit_status(status)),
        (None, Ended::Target) => Some(child.wait().map_err(SessionError::Wait)?),
        (None, _) => None,
    };
    let verdict = writer.finish(&recorder, status.map(shell_code))?;
    marks.end();
    if status.is_none() && ended == Ended::Terminate {
        // A signal that ends a trace is the child's, too, if it was sent to us alone; Ctrl-C reaches the child by
        // itself.
        send(&child, Signal::SIGTERM);
    }
    drop(recorder); // the probes go before we wait: an untraced program is not to be slowed
    let status = match status {
        Some(status) => status,
        None => wait(&mut child, &mut signals).await?,
    };
    // A gate never hides a failing child.
    Ok(if status.success() { verdict } else { Exit::Child(shell_code(status)) })
}

/// Waits for a child that outlives the trace. Further signals are passed on as well.
async fn wait(child: &mut Child, signals: &mut Signals) -> Result<ExitStatus, SessionError> {
    let pid = rustix::process::Pid::from_child(child);
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        .map_err(|error| SessionError::Wait(error.into()))?;
    let end = watch(pidfd)?;
    loop {
        tokio::select! {
            ready = end.readable() => { let _ = ready.map_err(SessionError::Runtime)?; break }
            ended = signals.next() => if ended == Ended::Terminate { send(child, Signal::SIGTERM) },
        }
    }
    child.wait().map_err(SessionError::Wait)
}

fn send(child: &Child, signal: Signal) {
    // It may have ended meanwhile; then there is nobody to tell.
    let _ = kill(unistd::Pid::from_raw(child.id().cast_signed()), signal);
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    ExitStatus::from_raw(match status {
        WaitStatus::Exited(_, code) => code << 8,
        WaitStatus::Signaled(_, signal, _) => signal as i32,
        _ => 0,
    })
}

/// The number that a shell would show.
fn shell_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => (128 + signal) as u8,
        (None, None) => 1,
    }
}
