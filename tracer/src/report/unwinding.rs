//! How many stacks are whole, and what ended the others: in the JSON document, and in words.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Serialize;

use super::StackEntry;

/// How a stack that is whole ended; the name that all other endings differ from.
const COMPLETE: &str = "complete";

/// `unwinding` in the JSON document.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct UnwindingEntry<'a> {
    #[serde(flatten)]
    pub native: Endings<'a>,
    /// Of stacks with Python in them.
    pub python: Option<Endings<'a>>,
}

/// Allocated blocks of the whole trace, by how their stack ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct Endings<'a> {
    pub allocations: u64,
    pub complete: u64,
    pub complete_ratio: f64,
    pub incomplete: BTreeMap<&'a str, u64>,
}

impl<'a> UnwindingEntry<'a> {
    pub(super) fn new(stacks: &[StackEntry<'a>]) -> Self {
        let python =
            stacks.iter().filter_map(|stack| Some((stack.python_unwind?, stack.alloc_blocks)));
        Self {
            native: Endings::of(stacks.iter().map(|stack| (stack.unwind, stack.alloc_blocks))),
            python: Some(Endings::of(python)).filter(|python| python.allocations != 0),
        }
    }

    /// A line on native frames, and one on Python's where some are missing.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let python = self.python.as_ref().filter(|python| !python.incomplete.is_empty());
        let native = self.native.line("stacks complete", in_brief);
        let python = python.and_then(|python| {
            python.line("stacks with Python in them have all of its frames", python_in_brief)
        });
        native.into_iter().chain(python)
    }
}

impl<'a> Endings<'a> {
    fn of(endings: impl Iterator<Item = (&'a str, u64)>) -> Self {
        let mut all: BTreeMap<&str, u64> = BTreeMap::new();
        for (ending, blocks) in endings.filter(|(_, blocks)| *blocks > 0) {
            let sum = all.entry(ending).or_default();
            *sum = sum.saturating_add(blocks);
        }
        let allocations = all.values().fold(0_u64, |sum, blocks| sum.saturating_add(*blocks));
        let complete = all.remove(COMPLETE).unwrap_or(0);
        let complete_ratio =
            if allocations == 0 { 1.0 } else { complete as f64 / allocations as f64 };
        Self { allocations, complete, complete_ratio, incomplete: all }
    }

    /// `99.8 % of stacks complete; 0.2 %: 12 no call frame information`; `None` without allocations.
    fn line(&self, what: &str, in_brief: impl Fn(&str) -> &str) -> Option<String> {
        if self.allocations == 0 {
            return None;
        }
        if self.incomplete.is_empty() {
            return Some(format!("100 % of {what}"));
        }
        let (complete, rest) = percent(self.complete_ratio);
        let mut reasons: Vec<_> = self.incomplete.iter().collect();
        reasons.sort_by_key(|(_, blocks)| Reverse(**blocks));
        let reasons: Vec<_> = reasons
            .into_iter()
            .map(|(ending, blocks)| format!("{blocks} {}", in_brief(ending)))
            .collect();
        Some(format!("{complete} % of {what}; {rest} %: {}", reasons.join(", ")))
    }
}

/// A ratio and what it leaves, in percent: to one decimal, or to as many as it takes to show that neither is all.
fn percent(ratio: f64) -> (String, String) {
    const MOST_DECIMALS: usize = 9;
    let (part, rest) = (ratio * 100.0, (1.0 - ratio) * 100.0);
    if part == 0.0 {
        return ("0".to_owned(), "100".to_owned());
    }
    let show = |decimals| (format!("{part:.decimals$}"), format!("{rest:.decimals$}"));
    let is_all = |text: &String| text.starts_with("100");
    (1..MOST_DECIMALS).map(show).find(|(part, rest)| !is_all(part) && !is_all(rest)).unwrap_or_else(
        || {
            // So few that only the counts behind it can tell.
            if part > rest {
                ("over 99.999999".to_owned(), "the rest".to_owned())
            } else {
                ("under 0.000001".to_owned(), "the rest".to_owned())
            }
        },
    )
}

/// What ended stacks, in the words of a list.
fn in_brief(ending: &str) -> &str {
    match ending {
        "frame_pointers" => "found by frame pointers",
        "no_rule" => "no call frame information",
        "unknown_code" => "code in no mapping that was known yet",
        "table_pending" => "unwind table not ready yet (--sync-dlopen waits for it)",
        "unsupported_rule" => "call frame information of a kind that can't be followed",
        "read_fault" => "stack memory that could not be read",
        "bad_stack" => "a stack pointer that makes no sense",
        "truncated" => "deeper than what is kept",
        "hijacked" => "return addresses hidden by another tool's probes",
        "unknown" => "stack lost",
        other => other,
    }
}

/// What keeps Python's frames from being whole, in the words of a list.
fn python_in_brief(ending: &str) -> &str {
    match ending {
        "unplaced" => "with frames that have no place among the native ones, and come last",
        "other_thread" => "without, for the thread state is another thread's",
        "read_fault" => "up to memory that could not be read",
        "truncated" => "deeper than what is kept",
        other => other,
    }
}

/// Why frames of Python's are missing or not in their places; `None` where all is well.
pub(super) fn why_python(ending: &str) -> Option<&str> {
    Some(match ending {
        COMPLETE => return None,
        "unplaced" => "Python's last frames have no place among the native ones that was found",
        "other_thread" => "no Python frames: the thread state is another thread's",
        "read_fault" => {
            "Python's frames end at memory that could not be read: the outermost are missing"
        }
        "truncated" => "more of Python's frames than what is kept: the outermost are missing",
        other => other,
    })
}

/// Why a stack ends where it does; `None` if it is whole.
pub(super) fn why(ending: &str) -> Option<&str> {
    Some(match ending {
        COMPLETE => return None,
        "frame_pointers" => {
            "found by frame pointers in part, for want of call frame information: callers may be missing"
        }
        "no_rule" => "ends at code without call frame information: its callers are missing",
        "unknown_code" => "ends at code in no mapping that was known yet: its callers are missing",
        "table_pending" => {
            "ends at code that was loaded a moment before, and whose unwind table was not ready: its callers are missing"
        }
        "unsupported_rule" => {
            "ends at call frame information of a kind that can't be followed: the callers are missing"
        }
        "read_fault" => "ends at stack memory that could not be read: the callers are missing",
        "bad_stack" => "ends at a stack pointer that makes no sense: the callers are missing",
        "truncated" => "deeper than what is kept: the outermost callers are missing",
        "hijacked" => {
            "ends at a function whose return address another tool's probe hides: its callers are missing"
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use tracer_common::{PythonEnd, UnwindStatus};

    use super::*;

    fn line(endings: &[(&'static str, u64)]) -> Option<String> {
        Endings::of(endings.iter().copied()).line("stacks complete", in_brief)
    }

    #[test]
    fn every_ending_of_python_s_has_words() {
        let names = (0..).map_while(PythonEnd::from_raw).filter_map(PythonEnd::name);
        for name in names.chain(["unplaced"]) {
            assert_eq!(why_python(name).is_none(), name == COMPLETE);
            assert_ne!(why_python(name), Some(name));
            assert!(name == COMPLETE || python_in_brief(name) != name);
        }
    }

    #[test]
    fn python_is_mentioned_where_it_is_not_whole() {
        let of = |python: &[(&'static str, u64)]| {
            let native = Endings::of([("complete", 9)].into_iter());
            let python = Some(Endings::of(python.iter().copied()));
            UnwindingEntry { native, python }.lines().collect::<Vec<_>>()
        };
        assert_eq!(of(&[("complete", 5)]), ["100 % of stacks complete"]);
        let line = "80.0 % of stacks with Python in them have all of its frames; 20.0 %: 1 deeper than what is kept";
        assert_eq!(of(&[("complete", 4), ("truncated", 1)]), ["100 % of stacks complete", line]);
    }

    #[test]
    fn every_ending_has_words() {
        for status in (0..).map_while(UnwindStatus::from_raw) {
            assert_eq!(why(status.name()).is_none(), status == UnwindStatus::Complete);
            assert_ne!(why(status.name()), Some(status.name()));
            assert!(status == UnwindStatus::Complete || in_brief(status.name()) != status.name());
        }
    }

    #[test]
    fn all_or_nothing() {
        assert_eq!(line(&[]), None);
        assert_eq!(line(&[("complete", 0)]), None);
        assert_eq!(line(&[("complete", 7)]).as_deref(), Some("100 % of stacks complete"));
        assert_eq!(
            line(&[("no_rule", 7)]).as_deref(),
            Some("0 % of stacks complete; 100 %: 7 no call frame information")
        );
    }

    #[test]
    fn reasons_are_counted_in_allocations_the_most_frequent_first() {
        assert_eq!(
            line(&[("unknown", 3), ("complete", 4000), ("no_rule", 5), ("complete", 1000)])
                .as_deref(),
            Some("99.8 % of stacks complete; 0.2 %: 5 no call frame information, 3 stack lost")
        );
    }

    #[test]
    fn nothing_incomplete_is_rounded_up() {
        assert_eq!(percent(0.9999), ("99.99".to_owned(), "0.01".to_owned()));
        assert_eq!(percent(0.000_04), ("0.004".to_owned(), "99.996".to_owned()));
        assert_eq!(percent(0.5), ("50.0".to_owned(), "50.0".to_owned()));
        let nearly = Endings::of([("complete", u64::MAX - 9), ("no_rule", 1)].into_iter());
        let line = nearly.line("stacks complete", in_brief).expect("there are allocations");
        assert!(line.starts_with("over 99.999999 % of stacks complete; the rest"), "{line}");
    }
}
