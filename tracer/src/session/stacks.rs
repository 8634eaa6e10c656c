//! Stacks as user space keeps them.

use tracer_common::{FrameAt, FrameWord, PythonEnd, PythonFrame, UnwindStatus, unwind::Rule};

use super::splice::{Spliced, splice};
use crate::{
    bpf::NewPython,
    target::{Location, ModuleId, Modules, PythonFrameId},
    units::{Addr, ElfAddr},
};

/// A stack that user space has.
#[derive(Clone, Debug)]
pub(super) struct KnownStack {
    /// Innermost frame first.
    pub(super) locations: Vec<Location>,
    /// How it ended.
    pub(super) status: UnwindStatus,
    /// What Python's side of it is; `None` where no interpreter is known, or none is in it.
    pub(super) python: Option<Python>,
}

/// What Python's side of a stack is. Its frames are among the stack's locations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Python {
    /// As the kernel side found it.
    pub(super) found: NewPython,
    /// How many of its runs have no place among the native frames. Their frames come last.
    pub(super) unplaced: usize,
}

impl KnownStack {
    pub(super) fn new(words: &[FrameWord], status: UnwindStatus) -> Self {
        Self {
            locations: words.iter().copied().filter_map(location).collect(),
            status,
            python: None,
        }
    }

    /// With Python's frames in their places.
    pub(super) fn with_python(
        words: &[FrameWord],
        status: UnwindStatus,
        python: Option<NewPython>,
        named: impl Fn(PythonFrame) -> PythonFrameId,
    ) -> Self {
        let Some(found) = python else { return Self::new(words, status) };
        let Spliced { locations, unplaced } = splice(words, &found, location, named);
        Self { locations, status, python: Some(Python { found, unplaced }) }
    }

    /// How whole Python's frames are, as the JSON report has it; `None` where there are none to tell of.
    pub(super) fn python_ending(&self) -> Option<&'static str> {
        let python = self.python.as_ref()?;
        match python.found.end {
            PythonEnd::Outermost if python.unplaced != 0 => Some("unplaced"),
            end => end.name(),
        }
    }

    /// Gives the code that it ended in the object that is mapped there.
    pub(super) fn place_last(&mut self, modules: &Modules) {
        let native = |location: &&mut Location| !matches!(location, Location::Python(_));
        if let Some(last) = self.locations.iter_mut().rev().find(native)
            && let Location::Unmapped(address) = *last
        {
            *last = return_address(modules, address).unwrap_or(*last);
        }
    }

    /// For a stack by frame pointers, whose frames have no objects: gives them theirs, and takes it for whole if it
    /// ends where there is no caller.
    pub(super) fn judge(&mut self, modules: &Modules, rule_at: impl Fn(Addr) -> Rule) {
        let call = |address: u64| Addr(address.wrapping_sub(1));
        let ends = match self.locations.last() {
            Some(Location::Unmapped(address)) => rule_at(call(*address)) == Rule::STOP,
            _ => false,
        };
        self.status = if ends { UnwindStatus::Complete } else { UnwindStatus::FramePointers };
        for location in &mut self.locations {
            if let Location::Unmapped(address) = *location {
                *location = return_address(modules, address).unwrap_or(*location);
            }
        }
    }

    /// Whether it says more than another account of the same stack.
    pub(super) fn is_better_than(&self, other: &Self) -> bool {
        let value = |stack: &Self| {
            let certainty = match stack.status {
                UnwindStatus::Complete => 2,
                UnwindStatus::FramePointers => 1,
                _ => 0,
            };
            (certainty, stack.locations.len())
        };
        value(self) > value(other)
    }
}

/// Where a return address lies; `None` where nothing known is mapped. The call before it tells, as it may be the
/// last instruction of its object.
pub(super) fn return_address(modules: &Modules, address: u64) -> Option<Location> {
    match modules.find(Addr(address.checked_sub(1)?))? {
        Location::InModule(module, call) => {
            Some(Location::InModule(module, ElfAddr(call.0.wrapping_add(1))))
        }
        _ => None,
    }
}

/// `None` for a word that says nothing; those are sorted out where events are read.
fn location(word: FrameWord) -> Option<Location> {
    Some(match word.decode()? {
        FrameAt::Module { module, address } => {
            let (module, address) = (ModuleId(module), ElfAddr(address));
            if word.is_exact() {
                Location::Interrupted(module, address)
            } else {
                Location::InModule(module, address)
            }
        }
        FrameAt::Bare { address } => Location::Unmapped(address),
        FrameAt::PythonRun { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_locations() {
        let words = [
            FrameWord::in_module(2, 0x10, 0),
            FrameWord::in_module(2, 0x20, FrameWord::EXACT),
            FrameWord::bare(0x7f00_0000, FrameWord::GUESSED),
        ];
        let stack = KnownStack::new(&words, UnwindStatus::NoRule);
        let module = ModuleId(2);
        let expected = [
            Location::InModule(module, ElfAddr(0x10)),
            Location::Interrupted(module, ElfAddr(0x20)),
            Location::Unmapped(0x7f00_0000),
        ];
        assert_eq!(stack.locations, expected);
    }

    #[test]
    fn a_stack_by_frame_pointers_is_whole_if_it_ends_at_the_outermost_function() {
        let words = [FrameWord::bare(0x1000, 0), FrameWord::bare(0x2000, 0)];
        let judged = |rule_at: fn(Addr) -> Rule| {
            let mut stack = KnownStack::new(&words, UnwindStatus::FramePointers);
            stack.judge(&Modules::default(), rule_at);
            stack.status
        };
        let stop = |at| if at == Addr(0x1fff) { Rule::STOP } else { Rule::NONE };
        assert_eq!(judged(stop), UnwindStatus::Complete);
        assert_eq!(judged(|_| Rule::NONE), UnwindStatus::FramePointers);
    }

    #[test]
    fn a_whole_stack_is_better_than_a_long_one() {
        let word = FrameWord::in_module(0, 0x10, 0);
        let whole = KnownStack::new(&[word], UnwindStatus::Complete);
        let long = KnownStack::new(&[word; 3], UnwindStatus::NoRule);
        let short = KnownStack::new(&[word; 2], UnwindStatus::ReadFault);
        assert!(whole.is_better_than(&long) && long.is_better_than(&short));
        assert!(!whole.is_better_than(&whole));
    }
}
