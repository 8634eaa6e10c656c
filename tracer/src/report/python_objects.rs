//! Whether Python's objects are in the figures.

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

/// How Python's objects were counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CountedObjects {
    /// Not those of up to 512 bytes, which come out of pools of Python's own.
    #[default]
    No,
    /// Not those either, although it was asked for; with what kept them from it.
    Hindered(String),
    /// Each, by probes on Python's own allocator: in the domain `python`.
    Probed,
    /// By size class, out of its allocator's books: in no figure but `python_classes`.
    Classes {
        /// Whether other functions stand before that allocator.
        hooks: bool,
        /// How many interpreters there were that may have an allocator of their own, which is not read.
        others: usize,
    },
    /// Each, as a block of the C allocator.
    Heap {
        /// Whether memtrace had Python take them from there.
        by_us: bool,
    },
}

impl CountedObjects {
    fn way(&self) -> Option<&'static str> {
        match self {
            Self::No | Self::Hindered(_) => None,
            Self::Classes { .. } => Some("classes"),
            Self::Probed => Some("probes"),
            Self::Heap { .. } => Some("malloc"),
        }
    }

    /// Whether each object is in the heap's figures or those of the domain `python`.
    fn is_each(&self) -> bool {
        matches!(self, Self::Probed | Self::Heap { .. })
    }

    /// What the report says of it.
    pub(super) fn line(&self) -> String {
        match self {
            Self::No => "Python's objects up to 512 bytes are not counted; --python-objects exact counts each, and slows \
                         Python down some 50 times"
                .to_owned(),
            Self::Hindered(why) => {
                format!("Python's objects up to 512 bytes are not counted: {why}")
            }
            Self::Classes { hooks, others } => {
                let hooks = if *hooks {
                    ", with what PYTHONMALLOC=debug (24 bytes) or other hooks add to each"
                } else {
                    ""
                };
                let others = match others {
                    0 => String::new(),
                    some => format!(
                        ", but not those of interpreters with a GIL of their own (seen beside the main one: {some})"
                    ),
                };
                format!(
                    "Python's objects up to 512 bytes are counted by size class{hooks}{others}; --python-objects exact \
                     counts each, on its line, and slows Python down some 50 times"
                )
            }
            Self::Probed => "Python's objects: each is counted (--python-objects exact)".to_owned(),
            Self::Heap { by_us: true } => {
                "Python's objects: each is counted, as a block of malloc, which PYTHONMALLOC=malloc was set for \
                 (not with --python-objects off)"
                    .to_owned()
            }
            Self::Heap { by_us: false } => {
                "Python's objects: each is counted, as a block of malloc (PYTHONMALLOC)".to_owned()
            }
        }
    }
}

impl Serialize for CountedObjects {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entry = serializer.serialize_struct("python_objects", 3)?;
        entry.serialize_field("counted", &self.is_each())?;
        entry.serialize_field("by", &self.way())?;
        entry.serialize_field("note", &self.line())?;
        entry.end()
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::{Domain, StackId};

    use super::*;
    use crate::{
        ledger::{
            StackKey,
            samples::{counts, epoch, key},
        },
        report::{
            Palette, detailed, json,
            samples::{Run, stack, text},
        },
    };

    #[test]
    fn a_stack_says_whose_its_blocks_are() {
        let heap = key(7);
        let python = StackKey { stack: StackId(7).in_domain(Domain::Python), ..heap };
        let names = [heap, python].map(|key| (key, stack(Vec::new())));
        let rows = vec![(heap, counts((100, 1), (0, 0))), (python, counts((300, 3), (0, 0)))];
        let run = Run::new(0, names.into_iter().collect(), vec![epoch(rows)]);
        let report = run.report();
        let document: serde_json::Value = serde_json::from_slice(&json(&report)).expect("JSON");
        let domains = [0, 1].map(|at| {
            let stack = &document["stacks"][at];
            (stack["domain"].as_str().unwrap_or_default(), stack["growth_bytes"].as_i64())
        });
        assert_eq!(domains, [("python", Some(300)), ("heap", Some(100))]);
        let text = text(detailed(&report, Palette::plain()));
        assert_eq!(text.matches(", Python objects").count(), 1, "{text}");
    }

    #[test]
    fn what_was_not_counted_is_said_with_the_way_to_it() {
        let entry = |counted: CountedObjects| serde_json::to_value(counted).expect("JSON");
        let no = entry(CountedObjects::No);
        assert_eq!((&no["counted"], &no["by"]), (&false.into(), &serde_json::Value::Null));
        let note = no["note"].as_str().unwrap_or_default();
        assert!(note.contains("--python-objects exact"), "{note}");
        assert_eq!(entry(CountedObjects::Probed)["by"], "probes");
        assert_eq!(entry(CountedObjects::Heap { by_us: true })["by"], "malloc");
        let hindered = entry(CountedObjects::Hindered("it is so".to_owned()));
        assert!(hindered["note"].as_str().unwrap_or_default().ends_with(": it is so"));
    }
}
