//! The JUnit file: what a pipeline's test report shows of a run.
//!
//! It fails where the exit code does: a gate, the target's status, incomplete data under `--strict`. Stacks that
//! grow are listed in any case.

mod cases;
mod xml;

use cases::{Case, Verdict};

use super::Report;

/// A JUnit document with one suite. `strict` is whether incomplete data is a failure.
pub fn junit(report: &Report<'_>, strict: bool) -> Vec<u8> {
    let duration: u64 =
        report.iterations.iter().fold(0, |sum, i| sum.saturating_add(i.duration_ns));
    xml::suite(&cases::all(report, strict), duration)
}

/// What stands in the file for as long as there is no report: whatever ended memtrace, the pipeline sees that
/// nothing was tested.
pub fn junit_unfinished() -> Vec<u8> {
    let message = "memtrace gave no report; its standard error says why".to_owned();
    let case = Case {
        name: "report".to_owned(),
        verdict: Verdict::Error { message },
        output: String::new(),
    };
    xml::suite(&[case], 0)
}
