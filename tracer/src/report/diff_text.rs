//! A comparison of two runs, for people.

use super::{
    Palette,
    page::{Page, visible},
    short::cut,
    size::{counted, signed_size, size},
    tables::write_table,
};
use crate::{
    analysis::Place,
    compare::{Change, Diff, DiffSide, Filter, Share},
};

/// Callers that are named beside a line.
const CALLERS: usize = 4;

/// A table of at most `top` stacks for each list of the filter, then the totals.
pub fn diff_text(diff: &Diff<'_>, filter: Filter, top: usize, palette: Palette) -> Vec<u8> {
    let mut page = Page::new(palette);
    for side in [&diff.before, &diff.after] {
        if !side.recording.complete {
            let path = side.recording.path.display();
            page.styled(
                palette.warning,
                format_args!("INCOMPLETE: {path} is of a run that lost data"),
            );
        }
    }
    if !diff.different_settings.is_empty() {
        let names = diff.different_settings.join(", ");
        page.styled(
            palette.warning,
            format_args!("The runs were recorded with different settings: {names}"),
        );
    }
    let (before, after) = (named(&diff.before), named(&diff.after));
    page.styled(
        palette.heading,
        format_args!("memtrace: growth per iteration, {before} -> {after}"),
    );
    write_lists(diff, filter, top, &mut page);
    let (before, after) = (diff.before.bytes_per_iteration, diff.after.bytes_per_iteration);
    page.line(format_args!(
        "Total per iteration: {} -> {} ({}); {} increased, {} decreased, {} unchanged",
        signed_size(rounded(before)),
        signed_size(rounded(after)),
        signed_size(rounded(after - before)),
        counted(diff.increased.len() as u64, "stack"),
        diff.decreased.len(),
        diff.unchanged.len(),
    ));
    if diff.suppressed > 0 {
        let stacks = counted(diff.suppressed, "stack");
        page.line(format_args!("{stacks} suppressed: not listed, but in the totals"));
    }
    page.into_bytes()
}

fn named(side: &DiffSide<'_>) -> String {
    let iterations = counted(side.recording.measured, "iteration");
    format!("{} ({iterations})", side.recording.path.display())
}

fn write_lists(diff: &Diff<'_>, filter: Filter, top: usize, page: &mut Page) {
    let lists = diff.lists(filter);
    let rows: Vec<_> = lists.iter().flat_map(|list| list.iter().take(top)).map(row).collect();
    let more: usize = lists.iter().map(|list| list.len().saturating_sub(top)).sum();
    if rows.is_empty() && more == 0 {
        page.line(match filter {
            Filter::Increased => "No stack grew more.",
            Filter::Changed => "No stack's growth changed.",
            Filter::Any => "No stacks.",
        });
        return;
    }
    write_table(page, &["Change", "Before", "After", "Verdict", "Where"], rows, 2);
    if more > 0 {
        page.line(format_args!("({more} more)"));
    }
}

fn row(change: &Change<'_>) -> Vec<String> {
    let stack = change.pair.most();
    let place = stack.place();
    let callers = stack.callers(CALLERS).filter(|_| place != Place::Unknown);
    let callers = callers.map(|names| format!(", in {names}")).unwrap_or_default();
    vec![
        signed_size(rounded(change.after - change.before)),
        change.pair.before.map_or("-".to_owned(), |_| size(rounded(change.before))),
        change.pair.after.map_or("-".to_owned(), |_| size(rounded(change.after))),
        verdicts(change),
        cut(&visible(&format!("{}{callers}", place.brief()))),
    ]
}

/// `growing`, `stable -> growing`, `new: growing`, `gone`.
fn verdicts(change: &Change<'_>) -> String {
    let verdict = |share: Option<Share<'_>>| share.map(|share| visible(share.most.verdict));
    match (verdict(change.pair.before), verdict(change.pair.after)) {
        (Some(before), Some(after)) if before == after => after,
        (Some(before), Some(after)) => format!("{before} -> {after}"),
        (None, Some(after)) => format!("new: {after}"),
        (_, None) => "gone".to_owned(),
    }
}

fn rounded(bytes: f64) -> i64 {
    bytes.round() as i64
}
