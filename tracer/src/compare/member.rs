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

    /// The function of the responsible line and its callers, at most `most` and none beyond `main`, as in
    /// `leak < handle < main`. `None` where no function has a name.
    pub fn callers(&self, most: usize) -> Option<String> {
        let outwards = self.frames.get(self.responsible.unwrap_or(0)..).unwrap_or_default();
        let names = outwards.iter().map(|frame| frame.function.as_deref().unwrap_or("?"));
        let mut shown = Vec::new();
        for name in names.take(most) {
            shown.push(name);
            if name == "main" || name.ends_with("::main") {
                break;
            }
        }
        shown.iter().any(|name| *name != "?").then(|| shown.join(" < "))
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

#[cfg(test)]
mod tests {
    use super::Member;
    use crate::{analysis::samples::frame, ledger::Amount};

    #[test]
    fn callers_end_with_main() {
        let callers = |names: &[&str], responsible, most| {
            let frames: Vec<_> = names.iter().map(|name| frame(name)).collect();
            let growth = Amount::ZERO;
            let (verdict, suppressed) = ("", false);
            Member { frames: &frames, responsible, growth, verdict, suppressed }.callers(most)
        };
        let stack = ["malloc", "leak", "", "main", "_start"];
        assert_eq!(callers(&stack, Some(1), 9).as_deref(), Some("leak < ? < main"));
        assert_eq!(callers(&stack, Some(1), 2).as_deref(), Some("leak < ?"));
        assert_eq!(callers(&["f", "app::main", "g"], Some(0), 9).as_deref(), Some("f < app::main"));
        for (names, responsible) in [(&["", ""][..], Some(0)), (&[], None), (&["f"], Some(7))] {
            assert_eq!(callers(names, responsible, 9), None, "{names:?}");
        }
    }
}
