//! One stack of one run, as comparisons see it.

use crate::{analysis::Place, ledger::Amount, symbolize::Frame};

/// A stack and its growth over the measured iterations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member<'a> {
    /// From the innermost caller of the allocation function outwards. None for what has no stack.
    pub frames: &'a [Frame],
    /// The position of the responsible frame.
    pub responsible: Option<usize>,
    /// From the baseline to the last mark.
    pub growth: Amount,
    /// The verdict's name, as the report has it.
    pub verdict: &'a str,
    /// Whether it was suppressed.
    pub suppressed: bool,
}

impl<'a> Member<'a> {
    /// The responsible line.
    pub fn place(&self) -> Place<'a> {
        let frame = self.responsible.and_then(|at| self.frames.get(at));
        frame.map_or(Place::Unknown, Place::of_frame)
    }

    /// The function of the responsible line and its callers, at most `most`, as in `leak < handle < main`.
    /// `None` where no function has a name.
    pub fn callers(&self, most: usize) -> Option<String> {
        let outwards = self.frames.get(self.responsible.unwrap_or(0)..).unwrap_or_default();
        let names: Vec<_> = outwards
            .iter()
            .take(most)
            .map(|frame| frame.function.as_deref().unwrap_or("?"))
            .collect();
        names.iter().any(|name| *name != "?").then(|| names.join(" < "))
    }
}

/// The stacks of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Party<'a> {
    /// The file name of the traced program; empty where it is not known.
    pub program: &'a str,
    /// Its stacks.
    pub members: Vec<Member<'a>>,
}

impl Party<'_> {
    /// The file name of the program of this command line.
    pub fn program_of(command: &[String]) -> &str {
        command.first().map_or("", |path| super::identity::base_name(path))
    }
}
