//! The short report: what grew, and whether it is all.

use std::collections::BTreeMap;

use super::{
    Palette, Report,
    closing::{basis, write_closing, write_warning},
    mappings,
    page::{Page, visible},
    size::{signed_size, size},
    tables::write_table,
};
use crate::analysis::{Place, Verdict};

/// Characters of a place that fit into the table.
const LONGEST_PLACE: usize = 300;

/// The lines that grew most, with the verdict of the stacks behind each, then totals, RSS and the ledger.
pub fn short(report: &Report<'_>, palette: Palette) -> Vec<u8> {
    let mut page = Page::new(palette);
    write_warning(report, "", &mut page);
    page.styled(palette.heading, format_args!("memtrace: {}", basis(report)));
    let block = &report.text.block;
    let growers = block.growth.as_ref().map_or(&[][..], |growth| &growth.rows);
    if growers.is_empty() {
        page.line("No memory growth.");
    } else {
        let lines = lines(report);
        let header = ["Growth", "Blocks", "Per iteration", "Verdict", "Where"];
        let rows = growers.iter().map(|row| {
            let line = lines.get(&row.place.without_source()).copied().unwrap_or_default();
            vec![
                signed_size(row.amount.bytes),
                format!("{:+}", row.amount.blocks),
                signed_size(line.bytes_per_iteration.round() as i64),
                line.verdict.map_or("", Verdict::name).to_owned(),
                cut(&visible(&row.place.brief())),
            ]
        });
        write_table(&mut page, &header, rows, 2);
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
    write_closing(report, "", &mut page);
    page.into_bytes()
}

/// Template instances have names of any length.
fn cut(text: &str) -> String {
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
    for stack in &report.stacks {
        let line = lines.entry(stack.place.without_source()).or_default();
        line.bytes_per_iteration += stack.bytes_per_iteration;
        if stack.growth().grew() {
            line.verdict = Some(line.verdict.map_or(stack.verdict, |v| v.min(stack.verdict)));
        }
    }
    lines
}
