//! How fast the target allocates, and what of it is gone before its iteration ends.

use super::{
    Report,
    block::write_place,
    page::Page,
    size::{counted, size},
};
use crate::{
    analysis::by_line,
    ledger::{Amount, Iteration},
};

/// Per second of an iteration; `None` where it took no time that is known.
pub(super) fn per_second(count: u64, iteration: &Iteration) -> Option<f64> {
    (iteration.duration_ns > 0).then(|| count as f64 * 1e9 / iteration.duration_ns as f64)
}

/// The section of the `--debug` report; nothing where no block was allocated.
pub(super) fn write_section(report: &Report<'_>, page: &mut Page) {
    let sum = |of: fn(&super::IterationEntry<'_>) -> u64| {
        report.iterations.iter().fold(0_u64, |sum, entry| sum.saturating_add(of(entry)))
    };
    let (bytes, blocks) = (sum(|i| i.alloc_bytes), sum(|i| i.alloc_blocks));
    if blocks == 0 {
        return;
    }
    let seconds = sum(|i| i.duration_ns) as f64 / 1e9;
    if seconds > 0.0 {
        let rate = |count: u64| (count as f64 / seconds).round() as i64;
        page.line(format_args!(
            "[DEBUG] Allocation rate: {}/s in {}/s",
            size(rate(bytes)),
            counted(rate(blocks).unsigned_abs(), "block"),
        ));
    }
    let temporary = Amount {
        bytes: signed(sum(|i| i.temporary_bytes)),
        blocks: signed(sum(|i| i.temporary_blocks)),
    };
    page.styled(
        page.palette.heading,
        format_args!(
            "[DEBUG] Temporary allocations, freed in the iteration that they were born in: {} of {} in {} of {}",
            size(temporary.bytes),
            size(signed(bytes)),
            temporary.blocks,
            counted(blocks, "block"),
        ),
    );
    let stacks = report.stacks.iter().map(|stack| (stack.place, stack.temporary()));
    for row in by_line(stacks).into_iter().filter(|row| row.amount.grew()).take(report.text.top) {
        page.line(format_args!("  {} blocks: {}", row.amount.blocks, size(row.amount.bytes)));
        write_place(page, &row.place);
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
