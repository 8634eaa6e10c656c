//! Tables: plain ASCII, numbers to the right.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::{
    IterationEntry,
    page::Page,
    size::{signed_size, size},
};

/// Rows of the table of iterations at both its ends; what lies between is in the JSON document.
const ROWS_AT_EACH_END: usize = 50;

/// A table without lines whose last `left` columns are aligned to the left.
pub(super) fn write_table(
    page: &mut Page,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
    left: usize,
) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    let right = header.len().saturating_sub(left);
    for (at, column) in table.column_iter_mut().enumerate() {
        let alignment = if at < right { CellAlignment::Right } else { CellAlignment::Left };
        column.set_cell_alignment(alignment);
    }
    for line in table.lines() {
        page.line(line.trim_end());
    }
}

/// One row per iteration; 88 columns wide with ordinary numbers.
pub(super) fn write_iterations(iterations: &[IterationEntry<'_>], page: &mut Page) {
    let header = ["#", "Live", "Change", "Peak", "Allocs", "Frees", "Temporary", "RSS", "Mark"];
    let ends = ROWS_AT_EACH_END.min(iterations.len() / 2 + 1);
    let hidden = iterations.len().saturating_sub(2 * ends);
    let shown = |at: usize| hidden == 0 || at < ends || at >= ends + hidden;
    let rows = (0..iterations.len()).filter(|at| shown(*at)).map(|at| {
        row(&iterations[at], at.checked_sub(1).map_or(0, |before| iterations[before].live_bytes))
    });
    write_table(page, &header, rows, 1);
    if hidden > 0 {
        page.line(format_args!("  ({hidden} in the middle not shown; the JSON document has all)"));
    }
}

fn row(iteration: &IterationEntry<'_>, live_before: i64) -> Vec<String> {
    let unsigned = |bytes: u64| size(i64::try_from(bytes).unwrap_or(i64::MAX));
    vec![
        number(iteration),
        size(iteration.live_bytes),
        signed_size(iteration.live_bytes.saturating_sub(live_before)),
        unsigned(iteration.peak_bytes),
        iteration.alloc_blocks.to_string(),
        iteration.free_blocks.to_string(),
        iteration.temporary_blocks.to_string(),
        if iteration.rss_bytes == 0 { "-".to_owned() } else { unsigned(iteration.rss_bytes) },
        mark(iteration),
    ]
}

fn number(iteration: &IterationEntry<'_>) -> String {
    match iteration.merged {
        0 | 1 => iteration.index.to_string(),
        merged => format!("{}-{}", iteration.index, iteration.index + merged - 1),
    }
}

fn mark(iteration: &IterationEntry<'_>) -> String {
    let mut mark = iteration.label.unwrap_or(iteration.trigger.name()).to_owned();
    if iteration.warmup {
        mark.push_str(" (warm-up)");
    }
    if iteration.partial {
        mark.push_str(" (partial)");
    }
    mark
}
