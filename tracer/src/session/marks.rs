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
    script: Option<Control>,
    program: Option<Control>,
    /// Whose `stop` is still to be answered.
    stopped: Option<Voice>,
}

/// Who says words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    /// Whoever writes into `--control`'s FIFO.
    Script,
    /// The command itself, into the FIFO that `exec` made for it.
    Program,
}

/// What was asked for.
#[derive(Debug)]
pub(super) enum Asked {
    /// A mark.
    Mark(UserMark),
    /// What somebody says.
    Words(Voice, Vec<Said>),
}

/// What came of a script's words.
#[derive(Debug)]
pub(super) struct Answers {
    voice: Voice,
    to_lines: Vec<Result<(), Refused>>,
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
            script: config
                .control
                .as_ref()
                .map(|fifos| Control::open("--control", fifos))
                .transpose()?,
            program: None,
            stopped: None,
        })
    }

    /// Listens to the command, too.
    pub(super) fn listen_to_program(&mut self, control: Control) {
        self.program = Some(control);
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
        let Self { clock, signal, keyboard, script, program, .. } = self;
        tokio::select! {
            () = tick(clock.as_mut()) => Asked::Mark(UserMark::Interval),
            () = received(signal) => Asked::Mark(UserMark::Signal),
            () = pressed(keyboard.as_mut()) => Asked::Mark(UserMark::Key),
            words = said(script.as_mut()) => Asked::Words(Voice::Script, words),
            words = said(program.as_mut()) => Asked::Words(Voice::Program, words),
        }
    }

    /// Answers words whose effect is complete by now.
    pub(super) fn answer(&mut self, answers: &Answers) {
        if let Some(control) = self.control(answers.voice) {
            answers.to_lines.iter().for_each(|answer| control.answer(answer.as_ref().copied()));
        }
        if answers.stop {
            self.stopped = Some(answers.voice);
        }
    }

    /// The report is written, which `stop` waits for.
    pub(super) fn end(mut self) {
        if let Some(control) = self.stopped.and_then(|voice| self.control(voice)) {
            control.answer(Ok(()));
        }
        for control in [self.script, self.program].into_iter().flatten() {
            control.end();
        }
    }

    fn control(&mut self, voice: Voice) -> Option<&mut Control> {
        match voice {
            Voice::Script => self.script.as_mut(),
            Voice::Program => self.program.as_mut(),
        }
    }
}

/// Does what a script or the command says, but for what has to be caught up with first.
///
/// # Errors
///
/// Where the kernel side does not answer.
pub(super) fn obey(
    recorder: &mut Recorder,
    voice: Voice,
    words: Vec<Said>,
) -> Result<Answers, SessionError> {
    let mut answers = Answers { voice, to_lines: Vec::with_capacity(words.len()), stop: false };
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
        answers.to_lines.push(answer);
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
