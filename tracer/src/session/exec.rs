//! `memtrace exec`: start a command once or several times, pass its status on.

use std::{
    ffi::OsString,
    os::unix::process::ExitStatusExt as _,
    process::{Child, ExitStatus},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd,
};

use super::{
    SessionError,
    follow::{Ended, Signals, follow, watch},
    judging::Judge,
    launch::{Launch, Run},
    marks::Marks,
    own_line::OwnLine,
    pid::tell_memory,
    python_objects::command_objects,
    retired::Retired,
    sink::Sink,
    writer::Writer,
};
use crate::{
    cli::{Exit, TraceConfig},
    target::Identity,
};

/// Runs a command under trace, as often as is asked for. A run that fails is the last one.
///
/// # Errors
///
/// Whatever kept the command from running, or the run from giving a report.
pub(super) async fn run(
    config: &TraceConfig,
    command: &[OsString],
    as_root: bool,
) -> Result<Exit, SessionError> {
    let mut signals = Signals::catch()?;
    let mut marks = Marks::open(config)?;
    let judge = Judge::open(config)?;
    let sink = Sink::open(&config.output)?;
    let identity = if as_root { None } else { Identity::behind_sudo()? };
    let line = OwnLine::for_command(config, identity.as_ref())?;
    let objects = command_objects(config, command);
    let mut environment = objects.environment.clone();
    if let Some((line, _)) = &line {
        environment.extend_from_slice(line.environment());
    }
    let launch = Launch::of(command, identity.as_ref(), &environment)?;
    let line = match line {
        Some((line, control)) => {
            line.started(&launch.process)?;
            marks.listen_to_program(control);
            Some(line)
        }
        None => None,
    };
    let mut writer = Writer::new(config, sink, judge, &launch.process);
    let mut run = Run::start(config, launch, None)?;
    run.recorder.prober.objects.are_of_command(&objects);
    let mut retired = None;
    let mut left = config.runs - 1;
    let (ended, status) = loop {
        let ended =
            follow(&mut run.recorder, &mut writer, config, &mut signals, &mut marks).await?;
        tell_memory(&run.recorder.kernel, "at the end");
        let status = run.status(ended)?;
        let well = ended == Ended::Target && status.is_some_and(|status| status.success());
        if left == 0 || !well || run.recorder.has_enough() {
            break (ended, status);
        }
        left -= 1;
        let launch = Launch::of(command, identity.as_ref(), &objects.environment)?;
        let mut next = Run::start(config, launch, Some(&mut run.recorder))?;
        next.recorder.prober.objects.are_of_command(&objects);
        let earlier = std::mem::replace(&mut run, next);
        if retired.is_none() {
            retired = Some(Retired::start()?);
        }
        if let Some(retired) = &retired {
            retired.add(earlier.recorder);
        }
    };
    let verdict = writer.finish(&run.recorder, status.map(shell_code))?;
    if let Some(line) = &line {
        line.tell_of_hook();
    }
    marks.end();
    let Run { recorder, mut child, .. } = run;
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

/// The number that a shell would show.
fn shell_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => (128 + signal) as u8,
        (None, None) => 1,
    }
}
