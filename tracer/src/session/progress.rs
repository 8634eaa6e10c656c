//! How far a run is, on one line of the terminal, for those who wait for it.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

use super::recorder::Recorder;
use crate::{
    cli::{Target, TraceConfig},
    report::size,
};

/// A line on stderr; none where nobody would see it, or something else is printed there.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    wanted: Option<u64>,
}

impl Progress {
    /// Under `exec` the terminal is the child's.
    pub(super) fn new(config: &TraceConfig) -> Self {
        let wanted_here = matches!(config.target, Target::Pid(_))
            && !config.quiet
            && !config.debug
            && std::io::stderr().is_terminal();
        let bar = wanted_here.then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}");
            let bar = ProgressBar::no_length();
            match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self { bar, wanted: config.iterations }
    }

    /// Shows the state after an iteration.
    pub(super) fn show(&self, recorder: &Recorder) {
        let Some(bar) = &self.bar else { return };
        let of = self.wanted.map_or_else(String::new, |wanted| format!(" of {wanted}"));
        let live = size(recorder.ledger.live().bytes);
        bar.set_message(format!("iteration {}{of}: {live} live", recorder.measured()));
        bar.tick();
    }

    /// Clears the line.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
