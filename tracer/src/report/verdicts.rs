//! The stacks by verdict, with their full call chains.

use super::{
    Report, StackEntry,
    page::Page,
    size::{counted, signed_size, size},
    unwinding::{why, why_python},
};
use crate::{
    analysis::{Place, Verdict},
    symbolize::Frame,
};

/// All verdicts that have stacks; of each, the first stacks.
pub(super) fn write_verdicts(report: &Report<'_>, page: &mut Page) {
    page.styled(page.palette.heading, "[DEBUG] Stacks by verdict:");
    for verdict in Verdict::ALL {
        let stacks: Vec<_> =
            report.unsuppressed().filter(|stack| stack.verdict == verdict).collect();
        if stacks.is_empty() {
            continue;
        }
        let growth = stacks.iter().fold(0_i64, |sum, s| sum.saturating_add(s.growth_bytes));
        let style =
            if verdict == Verdict::Growing { page.palette.grew } else { page.palette.heading };
        page.styled(
            style,
            format_args!(
                "  {}: {}, {}",
                verdict.name(),
                counted(stacks.len() as u64, "stack"),
                signed_size(growth)
            ),
        );
        for stack in stacks.iter().take(report.text.top) {
            write_stack(stack, page);
        }
        let more = stacks.len().saturating_sub(report.text.top);
        if more > 0 {
            page.line(format_args!("    ({more} more)"));
        }
    }
}

fn write_stack(stack: &StackEntry<'_>, page: &mut Page) {
    let objects = if stack.is_of_python() { ", Python objects" } else { "" };
    page.line(format_args!(
        "    {}: {} in {} blocks, {} per iteration, live {}{objects}",
        stack.id,
        signed_size(stack.growth_bytes),
        stack.growth_blocks,
        signed_size(stack.bytes_per_iteration.round() as i64),
        size(stack.live_bytes),
    ));
    let faint = page.palette.faint;
    if stack.place == Place::Unknown {
        page.styled(faint, format_args!("      {}", stack.place));
        return;
    }
    for frame in stack.frames {
        page.styled(faint, format_args!("      {}", frame_line(frame)));
    }
    for why in why(stack.unwind).into_iter().chain(stack.python_unwind.and_then(why_python)) {
        page.styled(faint, format_args!("      ({why})"));
    }
}

/// `leak at /src/app.c:42`, or as much of it as is known.
pub(super) fn frame_line(frame: &Frame) -> String {
    let place = Place::of_frame(frame);
    let inlined = if frame.inlined { " (inlined)" } else { "" };
    match (&frame.function, &place) {
        (Some(function), Place::Line { .. }) => format!("{function} at {}{inlined}", place.brief()),
        _ => format!("{}{inlined}", place.brief()),
    }
}
