//! Python's frames and native ones, made one stack.
//!
//! The kernel side walks both, one after the other. Among the native frames it leaves a word after each one of the
//! interpreter's evaluation function that it recognised, with the number of the run that this call works on.

use tracer_common::{FrameAt, FrameWord, PythonFrame, Space, StackHash, StackId, UnwindStatus};

use crate::{
    bpf::{NewPython, PythonRun},
    target::{Location, PythonFrameId},
};

/// A stack of both.
pub(super) struct Spliced {
    /// Innermost first.
    pub(super) locations: Vec<Location>,
    /// How many runs had no place; their frames come last.
    pub(super) unplaced: usize,
}

/// Puts each run where its word is. What has no word comes last: it is known to be in the stack, but not where.
pub(super) fn splice(
    words: &[FrameWord],
    python: &NewPython,
    native: impl Fn(FrameWord) -> Option<Location>,
    named: impl Fn(PythonFrame) -> PythonFrameId,
) -> Spliced {
    let named = |frame| Location::Python(named(frame));
    let mut left: Vec<Option<&[PythonFrame]>> = runs(python).into_iter().map(Some).collect();
    let mut locations = Vec::with_capacity(words.len() + python.frames.len());
    for word in words {
        match word.decode() {
            Some(FrameAt::PythonRun { number }) => {
                let run = left.get_mut(number as usize).and_then(Option::take);
                locations.extend(run.into_iter().flatten().copied().map(named));
            }
            _ => locations.extend(native(*word)),
        }
    }
    let unplaced = left.iter().flatten().filter(|run| !run.is_empty());
    let count = unplaced.clone().count();
    locations.extend(unplaced.copied().flatten().copied().map(named));
    Spliced { locations, unplaced: count }
}

/// The frames of each run, and at last those of which no end was found.
fn runs(python: &NewPython) -> Vec<&[PythonFrame]> {
    let mut start = 0;
    let ends = python.runs.iter().map(|run| run.end).chain([python.frames.len()]);
    ends.map(|end| {
        let run = python.frames.get(start..end).unwrap_or_default();
        start = end;
        run
    })
    .collect()
}

/// A native frame that was found in user space.
#[derive(Clone, Copy, Debug)]
pub(super) struct NativeFrame {
    /// The frame.
    pub(super) word: FrameWord,
    /// Its stack pointer: with the next one's, the bounds of the frame.
    pub(super) sp: u64,
}

/// The words that the kernel side would have made of these frames.
pub(super) fn words(frames: &[NativeFrame], python: Option<&NewPython>) -> Vec<FrameWord> {
    let runs = python.map_or(&[][..], |python| &python.runs);
    let mut runs = (0..).zip(runs).peekable();
    let mut words = Vec::with_capacity(frames.len());
    for (at, frame) in frames.iter().enumerate() {
        words.push(frame.word);
        let Some(caller) = frames.get(at + 1) else { break };
        while let Some((number, PythonRun { anchor, .. })) =
            runs.next_if(|(_, run)| run.anchor < caller.sp)
        {
            if *anchor >= frame.sp {
                words.push(FrameWord::python_run(number));
            }
        }
    }
    words
}

/// A stack's id, by the kernel side's rule.
pub(super) fn id(
    space: Space,
    words: &[FrameWord],
    status: UnwindStatus,
    python: Option<&NewPython>,
) -> StackId {
    let hash = words.iter().fold(StackHash::new(space), |hash, word| hash.with(word.0));
    let native = hash.finish(status as u32);
    python.map_or(native, |python| python.hash().finish(native, python.end as u32))
}

#[cfg(test)]
mod tests {
    use tracer_common::PythonEnd;

    use super::*;

    fn python(frames: u64, ends: &[usize]) -> NewPython {
        let frame = |code| PythonFrame { code, checksum: 1, instruction: 2 };
        let run =
            |(at, end): (usize, &usize)| PythonRun { end: *end, anchor: 0x108 + 0x20 * at as u64 };
        NewPython {
            space: Space(1),
            stack: StackId(1),
            end: PythonEnd::Outermost,
            frames: (0..frames).map(frame).collect(),
            runs: ends.iter().enumerate().map(run).collect(),
        }
    }

    fn native(word: FrameWord) -> Option<Location> {
        match word.decode() {
            Some(FrameAt::Bare { address }) => Some(Location::Unmapped(address)),
            _ => None,
        }
    }

    fn shown(words: &[FrameWord], python: &NewPython) -> (Vec<String>, usize) {
        let Spliced { locations, unplaced } =
            splice(words, python, native, |frame| PythonFrameId(frame.code as u32));
        let shown = locations.iter().map(|location| match location {
            Location::Python(frame) => format!("py{}", frame.0),
            Location::Unmapped(address) => format!("{address}"),
            other => format!("{other:?}"),
        });
        (shown.collect(), unplaced)
    }

    fn bare(address: u64) -> FrameWord {
        FrameWord::bare(address, 0)
    }

    #[test]
    fn runs_come_after_the_function_that_works_on_them() {
        let run = FrameWord::python_run;
        let words = [bare(1), bare(2), run(0), bare(3), run(1), bare(4)];
        let (stack, unplaced) = shown(&words, &python(4, &[1, 4]));
        assert_eq!(stack, ["1", "2", "py0", "3", "py1", "py2", "py3", "4"]);
        assert_eq!(unplaced, 0);
    }

    #[test]
    fn what_has_no_place_comes_last_and_is_counted() {
        let run = FrameWord::python_run;
        let (stack, unplaced) = shown(&[bare(1), run(1), bare(2)], &python(4, &[1, 2]));
        assert_eq!(stack, ["1", "py1", "2", "py0", "py2", "py3"]);
        assert_eq!(unplaced, 2, "the first run, and frames without an end");
        let (stack, unplaced) = shown(&[bare(1), run(7)], &python(0, &[0]));
        assert_eq!((stack, unplaced), (vec!["1".to_owned()], 0), "there was nothing to place");
    }

    #[test]
    fn an_anchor_belongs_to_the_frame_that_it_lies_in() {
        let frame = |address, sp| NativeFrame { word: bare(address), sp };
        // The first anchor lies below all frames: something was jumped over.
        let frames = [frame(1, 0x110), frame(2, 0x120), frame(3, 0x130), frame(4, 0x160)];
        let run = FrameWord::python_run;
        let python = python(3, &[1, 2, 3]);
        assert_eq!(
            words(&frames, Some(&python)),
            [bare(1), bare(2), run(1), bare(3), run(2), bare(4)]
        );
        assert_eq!(words(&frames, None), [1, 2, 3, 4].map(bare));
    }

    #[test]
    fn frames_of_python_are_part_of_the_id() {
        let words = [bare(1), FrameWord::python_run(0)];
        let id = |python: Option<NewPython>| {
            id(Space(1), &words, UnwindStatus::Complete, python.as_ref())
        };
        assert_ne!(id(None), id(Some(python(1, &[1]))));
        assert_ne!(id(Some(python(2, &[1]))), id(Some(python(2, &[2]))));
    }
}
