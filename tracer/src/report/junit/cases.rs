//! What is tested.

use crate::{
    analysis::Verdict as Shape,
    compare::Member,
    gates::{Outcome, Ruling},
    report::{
        Report,
        gate_line::gate_line,
        page::{Page, visible},
        palette::Palette,
        size::{counted, signed_size, size},
        verdicts::frame_line,
    },
};

/// One test case.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    /// What there is to say, whatever the verdict.
    pub(super) output: String,
}

/// What came of it. Messages are one line, details many.
pub(super) enum Verdict {
    Passed,
    Failed { message: String, details: String },
    Error { message: String },
    Skipped { message: String },
}

/// The gates in order, then the data, the target and the stacks that grow.
pub(super) fn all(report: &Report<'_>, strict: bool) -> Vec<Case> {
    let mut cases: Vec<_> =
        report.gates.iter().map(|outcome| of_gate(outcome, report.text.top)).collect();
    cases.push(of_data(report, strict));
    cases.extend(report.target.exit_status.map(of_target));
    cases.push(of_growing(report));
    cases
}

fn of_gate(outcome: &Outcome<'_>, top: usize) -> Case {
    let message = visible(&gate_line(outcome));
    let (verdict, output) = match outcome.result {
        Ruling::Passed => (Verdict::Passed, message),
        Ruling::Undecided => (Verdict::Error { message }, String::new()),
        Ruling::Tripped => {
            let stacks = outcome.growers.iter().map(|g| (g.stack, g.bytes_per_iteration));
            (Verdict::Failed { message, details: listed(stacks, top) }, String::new())
        }
    };
    let limit = size(i64::try_from(outcome.limit_bytes).unwrap_or(i64::MAX));
    Case { name: format!("{} {limit}", outcome.gate.option()), verdict, output }
}

fn of_data(report: &Report<'_>, strict: bool) -> Case {
    let message = report.recorded_line();
    let (verdict, output) = match (report.all_recorded(), strict) {
        (true, _) => (Verdict::Passed, message),
        (false, true) => (Verdict::Failed { message, details: String::new() }, String::new()),
        (false, false) => (Verdict::Skipped { message }, String::new()),
    };
    Case { name: "complete data".to_owned(), verdict, output }
}

fn of_target(status: i32) -> Case {
    let message = format!("the target ended with status {status}");
    let (verdict, output) = match status {
        0 => (Verdict::Passed, message),
        _ => (Verdict::Failed { message, details: String::new() }, String::new()),
    };
    Case { name: "target".to_owned(), verdict, output }
}

/// Not a failure by itself: how much growth is too much, gates say.
fn of_growing(report: &Report<'_>) -> Case {
    let growing: Vec<_> =
        report.unsuppressed().filter(|stack| stack.verdict == Shape::Growing).collect();
    let count = counted(growing.len() as u64, "stack");
    let stacks = growing.iter().map(|stack| (stack.member(), stack.bytes_per_iteration));
    let output = format!("{count} with the verdict growing\n{}", listed(stacks, report.text.top));
    Case { name: "verdicts".to_owned(), verdict: Verdict::Passed, output }
}

/// The first `top` stacks with their call chains, and how many more there are.
fn listed<'a>(stacks: impl ExactSizeIterator<Item = (Member<'a>, f64)>, top: usize) -> String {
    let mut page = Page::new(Palette::plain());
    let more = stacks.len().saturating_sub(top);
    for (stack, bytes) in stacks.take(top) {
        let rate = signed_size(bytes.round() as i64);
        let place = stack.place();
        page.line(format_args!("{rate} per iteration ({}): {}", stack.verdict, place.brief()));
        if let Some(source) = place.source() {
            page.line(format_args!("    {source}"));
        }
        for frame in stack.frames {
            page.line(format_args!("  {}", frame_line(frame)));
        }
    }
    if more > 0 {
        page.line(format_args!("({more} more)"));
    }
    String::from_utf8_lossy(&page.into_bytes()).into_owned()
}
