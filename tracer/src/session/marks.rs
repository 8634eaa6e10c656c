//! Marks that come from outside of the target: the clock, a script, a signal, a key. Those that the target makes itself
//! are the kernel side's.

use std::time::Duration;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use super::{
    SessionError,
    control::{Control, Refused, Said, Word},
    keyboard::Keyboard,
    recorder::Recorder,
};
use crate::{
    bpf::UserMark,
    cli::{Target, TraceConfig},
};

/// Everything that may ask for a mark.
#[derive(Debug)]
pub(super) struct Marks {
    clock: Option<Interval>,
    signal: Signal,
    keyboard: Option<Keyboard>,
    control: Option<Control>,
    /// Whether `stop` is still to be answered.
    stopped: bool,
}

/// What was asked for.
#[derive(Debug)]
pub(super) enum Asked {
    /// A mark.
    Mark(UserMark),
    /// What a script says.
    Words(Vec<Said>),
}

/// What came of a script's words.
#[derive(Debug)]
pub(super) struct Answers {
    answers: Vec<Result<(), Refused>>,
    /// Whether the run is to end.
    pub(super) stop: bool,
}

impl Marks {
    /// Opens what there is to listen to, before anything is done to the target.
    ///
    /// # Errors
    ///
    /// Where `--control`'s FIFOs can't be opened, or the runtime has no signal handling.
    pub(super) fn open(config: &TraceConfig) -> Result<Self, SessionError> {
        // Under `exec` the terminal is the command's.
        let attaches = matches!(config.target, Target::Pid(_));
        Ok(Self {
            clock: None,
            signal: signal(SignalKind::user_defined2()).map_err(SessionError::Runtime)?,
            keyboard: if attaches { Keyboard::open() } else { None },
            control: config.control.as_ref().map(Control::open).transpose()?,
            stopped: false,
        })
    }

    /// Starts the clock.
    pub(super) fn start_clock(&mut self, period: Option<Duration>) {
        /// Longer than any run, and short enough to be added to the present.
        const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);
        self.clock = period.map(|period| {
            let mut clock = interval_at(Instant::now() + period.min(LONGEST), period);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            clock
        });
    }

    /// Waits for the next that is asked for. In no order: none can keep another from being heard.
    pub(super) async fn next(&mut self) -> Asked {
        let Self { clock, signal, keyboard, control, .. } = self;
        tokio::select! {
            () = tick(clock.as_mut()) => Asked::Mark(UserMark::Interval),
            () = received(signal) => Asked::Mark(UserMark::Signal),
            () = pressed(keyboard.as_mut()) => Asked::Mark(UserMark::Key),
            words = said(control.as_mut()) => Asked::Words(words),
        }
    }

    /// Answers words whose effect is complete by now.
    pub(super) fn answer(&mut self, answers: &Answers) {
        if let Some(control) = &mut self.control {
            answers.answers.iter().for_each(|answer| control.answer(answer.as_ref().copied()));
        }
        self.stopped |= answers.stop;
    }

    /// The report is written, which `stop` waits for.
    pub(super) fn end(self) {
        if let Some(mut control) = self.control {
            if self.stopped {
                control.answer(Ok(()));
            }
            control.end();
        }
    }
}

/// Does what a script says, but for what has to be caught up with first.
///
/// # Errors
///
/// Where the kernel side does not answer.
pub(super) fn obey(recorder: &mut Recorder, words: Vec<Said>) -> Result<Answers, SessionError> {
    let mut answers = Answers { answers: Vec::with_capacity(words.len()), stop: false };
    for said in words {
        let answer = match said {
            _ if !recorder.is_recording() => Err(Refused::Ended),
            Ok(Word::Snapshot(label)) => {
                let ended = recorder.mark(UserMark::Control, label)?;
                if ended { Ok(()) } else { Err(Refused::Merged) }
            }
            Ok(Word::Enable) => recorder.kernel.pause(false).map(Ok)?,
            Ok(Word::Disable) => recorder.kernel.pause(true).map(Ok)?,
            Ok(Word::Stop) => {
                answers.stop = true;
                break;
            }
            Ok(Word::Ping) => Ok(()),
            Err(refused) => Err(refused),
        };
        answers.answers.push(answer);
    }
    Ok(answers)
}

async fn tick(clock: Option<&mut Interval>) {
    match clock {
        Some(clock) => drop(clock.tick().await),
        None => std::future::pending().await,
    }
}

async fn received(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

async fn pressed(keyboard: Option<&mut Keyboard>) {
    match keyboard {
        Some(keyboard) => keyboard.enter().await,
        None => std::future::pending().await,
    }
}

async fn said(control: Option<&mut Control>) -> Vec<Said> {
    match control {
        Some(control) => control.next().await,
        None => std::future::pending().await,
    }
}
