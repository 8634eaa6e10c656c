//! Waiting: for marks, the target's end, a signal, the clock.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    signal::unix::{Signal, SignalKind, signal},
    task::yield_now,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{
    SessionError,
    marks::{Asked, Marks, obey},
    recorder::Recorder,
    writer::Writer,
};
use crate::{bpf::UserMark, cli::TraceConfig};

/// New stacks are taken in at least this often, even while no mark comes.
const PULSE: Duration = Duration::from_millis(200);

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All iterations that were asked for are there.
    Enough,
    /// The target ended.
    Target,
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM or SIGHUP.
    Terminate,
    /// A script says so.
    Stopped,
    /// Nobody reads the report any more.
    ReaderGone,
}

/// The signals that end a run; caught from the moment that this is made.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Catches them.
    ///
    /// # Errors
    ///
    /// Where the runtime has no signal handling.
    pub(super) fn catch() -> Result<Self, SessionError> {
        let catch = |kind| signal(kind).map_err(SessionError::Runtime);
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Ended {
        tokio::select! {
            _ = self.interrupt.recv() => Ended::Interrupt,
            _ = self.terminate.recv() => Ended::Terminate,
            _ = self.hangup.recv() => Ended::Terminate,
        }
    }
}

/// Records until something ends the run, and stops recording. Each iteration is reported as it ends.
///
/// # Errors
///
/// Where the kernel side does not answer or the report can't be written.
pub(super) async fn follow(
    recorder: &mut Recorder,
    writer: &mut Writer,
    config: &TraceConfig,
    signals: &mut Signals,
    marks: &mut Marks,
) -> Result<Ended, SessionError> {
    let events = watch(recorder.kernel.events_fd().map_err(SessionError::Runtime)?)?;
    let end = watch(recorder.process.as_fd().try_clone_to_owned().map_err(SessionError::Runtime)?)?;
    let tables = watch(recorder.unwinding.finished_fd().map_err(SessionError::Runtime)?)?;
    marks.start_clock(config.interval);
    let mut pulse = interval_at(Instant::now() + PULSE, PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = loop {
        let mut answers = None;
        tokio::select! {
            biased;
            ended = signals.next() => break ended,
            ready = end.readable() => { let _ = ready.map_err(SessionError::Runtime)?; break Ended::Target }
            asked = marks.next() => match asked {
                Asked::Mark(mark) => drop(recorder.mark(mark, None)?),
                Asked::Words(voice, words) => answers = Some(obey(recorder, voice, words)?),
            },
            () = yield_now(), if recorder.kernel.has_events() => {}
            ready = events.readable() => ready.map_err(SessionError::Runtime)?.clear_ready(),
            ready = tables.readable() => ready.map_err(SessionError::Runtime)?.clear_ready(),
            _ = pulse.tick() => {}
        }
        recorder.catch_up()?;
        if !writer.iterations(recorder)? {
            break Ended::ReaderGone;
        }
        if let Some(answers) = answers {
            // Whoever reads the report after the answer finds the iteration in it.
            writer.settle();
            marks.answer(&answers);
            if answers.stop {
                break Ended::Stopped;
            }
        }
        if recorder.has_enough() {
            break Ended::Enough;
        }
    };
    if recorder.is_recording() {
        recorder.stop(UserMark::End)?;
    }
    Ok(if writer.iterations(recorder)? { ended } else { Ended::ReaderGone })
}

/// Makes a descriptor something that can be waited for.
///
/// # Errors
///
/// Where the runtime has no room for it.
#[expect(
    deprecated,
    reason = "its replacement is unsafe for the sake of types that may lie; an OwnedFd can't"
)]
pub(super) fn watch(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>, SessionError> {
    AsyncFd::with_interest(fd, Interest::READABLE).map_err(SessionError::Runtime)
}
