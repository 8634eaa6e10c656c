//! A run that was recorded in a JSON report.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Member, Party, RecordingError,
    raw::{Document, Head},
};
use crate::{analysis::responsible, ledger::Amount, report::SCHEMA_VERSION, symbolize::Frame};

/// What ends an iteration, and which blocks are recorded.
const WHAT_GROWTH_DEPENDS_ON: [&str; 6] =
    ["mark_fn", "mark_every", "runs", "interval_ns", "min_size", "max_size"];

/// What comparisons need of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The file that it was read from.
    pub path: PathBuf,
    /// The traced command line.
    pub command: Vec<String>,
    /// Iterations that growth rests on, at least 1.
    pub measured: u64,
    /// Whether nothing was lost.
    pub complete: bool,
    /// The settings, as they stand in the report.
    pub settings: Value,
    stacks: Vec<Stack>,
}

#[derive(Clone, Debug, PartialEq)]
struct Stack {
    frames: Vec<Frame>,
    responsible: Option<usize>,
    growth: Amount,
    verdict: String,
    suppressed: bool,
}

impl Recording {
    /// Reads a JSON report.
    ///
    /// # Errors
    ///
    /// Where the file can't be read or is no report of this schema.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let bytes = fs::read(path)
            .map_err(|source| RecordingError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&bytes, path)
    }

    /// Takes a report's text; `path` is for messages.
    ///
    /// # Errors
    ///
    /// Where it is no report of this schema.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, RecordingError> {
        let path = path.to_owned();
        let head: Head = match serde_json::from_slice(bytes) {
            Ok(head) => head,
            Err(source) => return Err(RecordingError::NotAReport { path, source }),
        };
        match head.schema_version {
            None => return Err(RecordingError::NoVersion { path }),
            Some(version) if version != u64::from(SCHEMA_VERSION) => {
                return Err(RecordingError::OtherVersion { path, version });
            }
            Some(_) => {}
        }
        match serde_json::from_slice(bytes) {
            Ok(document) => Self::of(document, path),
            Err(source) => Err(RecordingError::NotAReport { path, source }),
        }
    }

    fn of(document: Document, path: PathBuf) -> Result<Self, RecordingError> {
        let count = |wanted: fn(&super::raw::Iteration) -> bool| -> u64 {
            document.iterations.iter().filter(|i| wanted(i)).map(|i| u64::from(i.merged)).sum()
        };
        let warmup = document.settings["warmup"].as_u64().unwrap_or(0);
        let warmed_up = count(|i| i.warmup) >= warmup;
        let measured = count(|i| !i.warmup && !i.partial);
        if !warmed_up || measured == 0 {
            return Err(RecordingError::NothingMeasured { path, warmup });
        }
        Ok(Self {
            path,
            measured,
            command: document.target.command,
            complete: document.ledger.complete,
            settings: document.settings,
            stacks: document.stacks.into_iter().map(Stack::from).collect(),
        })
    }

    /// The settings that growth depends on and that are others in `settings`, by name. One that either doesn't have
    /// can't be compared.
    pub fn different_settings(&self, settings: &Value) -> Vec<&'static str> {
        let differs = |name: &&str| match (self.settings.get(name), settings.get(name)) {
            (Some(one), Some(other)) => one != other,
            _ => false,
        };
        WHAT_GROWTH_DEPENDS_ON.into_iter().filter(differs).collect()
    }

    /// Its stacks.
    pub fn party(&self) -> Party<'_> {
        let members = self.stacks.iter().map(|stack| Member {
            frames: &stack.frames,
            responsible: stack.responsible,
            growth: stack.growth,
            verdict: &stack.verdict,
            suppressed: stack.suppressed,
        });
        Party { program: Party::program_of(&self.command), members: members.collect() }
    }
}

impl From<super::raw::Stack> for Stack {
    fn from(raw: super::raw::Stack) -> Self {
        let frames: Vec<Frame> = raw.frames.into_iter().map(Frame::from).collect();
        let named = raw.responsible.filter(|at| *at < frames.len());
        Self {
            responsible: named.or_else(|| responsible(&frames)),
            growth: Amount { bytes: raw.growth_bytes, blocks: raw.growth_blocks },
            verdict: raw.verdict,
            suppressed: raw.suppressed.is_some(),
            frames,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, path::Path};

    use super::Recording;
    use crate::compare::{RecordingError, samples::document};

    fn parse(text: &str) -> Result<Recording, RecordingError> {
        Recording::parse(text.as_bytes(), Path::new("a.json"))
    }

    fn refusal(text: &str) -> String {
        match parse(text) {
            Ok(recording) => panic!("{text:.99} was read as {recording:?}"),
            Err(error) => {
                let why = error.source().map(ToString::to_string).unwrap_or_default();
                format!("{error}: {why}")
            }
        }
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (text, part) in [
            ("", "not a report"),
            ("no JSON", "not a report"),
            ("[1, 2]", "not a report"),
            ("{}", "no schema_version"),
            ("{\"schema_version\": 2, \"stacks\": 7}", "has schema_version 2"),
            ("{\"schema_version\": -1}", "not a report"),
            ("{\"schema_version\": 1}", "missing field"),
            (&deep, "not a report"),
            (&format!("{{\"schema_version\": 1, \"x\": {deep}}}"), "not a report"),
        ] {
            assert!(refusal(text).contains(part), "{text:.99}: {}", refusal(text));
        }
    }

    #[test]
    fn every_field_may_be_hostile() -> Result<(), Box<dyn std::error::Error>> {
        let good = document(&[(&["leak", "main"], 1000)], 5);
        assert_eq!(parse(&good.to_string())?.measured, 5);
        for (pointer, value) in [
            ("/stacks/0/growth_bytes", serde_json::json!(1e300)),
            ("/stacks/0/growth_bytes", serde_json::json!(u64::MAX)),
            ("/stacks/0/frames", serde_json::json!(null)),
            ("/stacks/0/frames/0/line", serde_json::json!(-1)),
            ("/iterations/0/merged", serde_json::json!("many")),
            ("/target", serde_json::json!(7)),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).ok_or("no such field")? = value;
            assert!(refusal(&bad.to_string()).contains("not a report"), "{pointer}");
        }
        let mut odd = good;
        for (pointer, value) in [
            ("/stacks/0/responsible", serde_json::json!(u32::MAX)),
            ("/stacks/0/growth_bytes", serde_json::json!(i64::MIN)),
            ("/stacks/0/frames/0/address", serde_json::json!("nowhere")),
            ("/iterations/0/merged", serde_json::json!(u32::MAX)),
            ("/stacks/0/verdict", serde_json::json!("a later one")),
        ] {
            *odd.pointer_mut(pointer).ok_or("no such field")? = value;
        }
        let recording = parse(&odd.to_string())?;
        assert_eq!(recording.party().members[0].responsible, Some(0));
        assert_eq!(recording.measured, u64::from(u32::MAX) + 4);
        Ok(())
    }

    #[test]
    fn settings_that_growth_depends_on_are_compared() -> Result<(), Box<dyn std::error::Error>> {
        let recording = parse(&document(&[], 1).to_string())?;
        assert_eq!(recording.different_settings(&recording.settings), Vec::<&str>::new());
        let mut others = recording.settings.clone();
        others["mark_fn"] = serde_json::json!({ "symbol": "f", "object": null });
        others["min_size"] = serde_json::json!(16);
        others["top"] = serde_json::json!(99);
        assert_eq!(recording.different_settings(&others), ["mark_fn", "min_size"]);
        assert_eq!(recording.different_settings(&serde_json::json!(7)), Vec::<&str>::new());
        Ok(())
    }

    #[test]
    fn a_run_that_measured_nothing_is_refused() {
        let mut short = document(&[], 1);
        short["settings"] = serde_json::json!({ "warmup": 3 });
        for report in [short, document(&[], 0)] {
            let refusal = refusal(&report.to_string());
            assert!(refusal.contains("no measured iteration"), "{refusal}");
        }
    }
}
