//! The short report: what grew, and whether it is all.

use std::collections::BTreeMap;

use super::{
    Palette, Report,
    closing::{basis, write_closing, write_warning},
    mappings,
    page::{Page, visible},
    python_classes, python_pools,
    size::{signed_size, size},
    tables::write_table,
};
use crate::analysis::{LineRow, Place, Verdict};

/// Characters of a place that fit into the table.
const LONGEST_PLACE: usize = 300;

/// The lines that grew most, with the verdict of the stacks behind each, then totals, RSS and the ledger.
pub fn short(report: &Report<'_>, palette: Palette) -> Vec<u8> {
    let mut page = Page::new(palette);
    write_warning(report, "", &mut page);
    page.styled(palette.heading, format_args!("memtrace: {}", basis(report)));
    let block = &report.text.block;
    let rows = line_rows(report);
    if rows.is_empty() {
        page.line("No memory growth.");
    } else {
        let header = ["Growth", "Blocks", "Per iteration", "Verdict", "Where"];
        write_table(&mut page, &header, rows.iter().map(|row| row.cells().to_vec()), 2);
    }
    let totals = report.totals;
    page.line(format_args!(
        "Growth {}, freed {}, net {}; live {}, peak {}",
        size(totals.growth_bytes),
        size(totals.freed_bytes),
        signed_size(totals.net_bytes),
        size(report.iterations.last().map_or(0, |last| last.live_bytes)),
        size(i64::try_from(block.peak_bytes).unwrap_or(i64::MAX)),
    ));
    mappings::write_line(report, &mut page);
    python_classes::write_line(report, &mut page);
    python_pools::write_line(report, &mut page);
    write_closing(report, "", &mut page);
    page.into_bytes()
}

/// A line that grew, with what its stacks say together.
pub(super) struct Row<'a> {
    row: LineRow<'a>,
    line: Line,
}

impl<'a> Row<'a> {
    /// Growth, blocks, growth per iteration, verdict, place.
    pub(super) fn cells(&self) -> [String; 5] {
        let Self { row, line } = self;
        [
            signed_size(row.amount.bytes),
            format!("{:+}", row.amount.blocks),
            signed_size(line.bytes_per_iteration.round() as i64),
            line.verdict.map_or("", Verdict::name).to_owned(),
            cut(&visible(&row.place.brief())),
        ]
    }

    /// The text of the line.
    pub(super) fn source(&self) -> Option<&'a str> {
        self.row.place.source()
    }
}

/// The lines that grew most.
pub(super) fn line_rows<'a>(report: &Report<'a>) -> Vec<Row<'a>> {
    let lines = lines(report);
    let growers = report.text.block.growth.iter().flat_map(|growth| &growth.rows);
    growers
        .map(|row| {
            let line = lines.get(&row.place.without_source()).copied().unwrap_or_default();
            Row { row: *row, line }
        })
        .collect()
}

/// Template instances have names of any length.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_PLACE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// What the stacks of a line say together.
#[derive(Clone, Copy, Default)]
struct Line {
    /// The most alarming one among the stacks that grew.
    verdict: Option<Verdict>,
    bytes_per_iteration: f64,
}

fn lines<'a>(report: &Report<'a>) -> BTreeMap<Place<'a>, Line> {
    let mut lines: BTreeMap<_, Line> = BTreeMap::new();
    for stack in report.unsuppressed() {
        let line = lines.entry(stack.place.without_source()).or_default();
        line.bytes_per_iteration += stack.bytes_per_iteration;
        if stack.growth().grew() {
            line.verdict = Some(line.verdict.map_or(stack.verdict, |v| v.min(stack.verdict)));
        }
    }
    lines
}
