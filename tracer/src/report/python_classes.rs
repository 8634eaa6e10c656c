//! Python's small objects by size class: a level and growth of their own, in none of the other figures.

use std::cmp::Reverse;

use serde::Serialize;

use super::{
    Report,
    page::Page,
    size::{counted, signed_size},
};
use crate::ledger::{ClassGrowth, ClassSample, Iteration, Ledger, SIZE_CLASSES};

/// One of `python_classes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct ClassEntry {
    pub size: u64,
    pub live_blocks: u64,
    pub live_bytes: u64,
    pub growth_blocks: Option<i64>,
    pub growth_bytes: Option<i64>,
    pub per_iteration: Vec<Option<ClassStep>>,
}

/// One of `python_classes.per_iteration`: what there was at the iteration's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct ClassStep {
    pub live_blocks: u64,
    pub live_bytes: u64,
}

/// `python_classes_read`: between which readings growth was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct ClassReadings {
    pub from: Option<u32>,
    pub to: Option<u32>,
    pub unread_pools: u64,
}

/// All classes that ever had a block, by growth, then live bytes (most first), then size; `None` where they were never read.
pub(super) fn entries(ledger: &Ledger) -> Option<Vec<ClassEntry>> {
    let (newest, growth) = (ledger.classes()?, ledger.class_growth());
    let mut entries: Vec<_> = (0..SIZE_CLASSES)
        .map(|class| entry(class, newest, growth.as_ref(), ledger.iterations()))
        .filter(|entry| {
            let was_there = |step: &ClassStep| step.live_blocks > 0;
            entry.live_blocks > 0
                || entry.growth_blocks.is_some_and(|growth| growth != 0)
                || entry.per_iteration.iter().flatten().any(was_there)
        })
        .collect();
    entries
        .sort_by_key(|entry| (Reverse(entry.growth_bytes), Reverse(entry.live_bytes), entry.size));
    Some(entries)
}

/// Between which readings growth was taken; `None` where there were none.
pub(super) fn readings(ledger: &Ledger) -> Option<ClassReadings> {
    let (newest, growth) = (ledger.classes()?, ledger.class_growth());
    let all = ledger.iterations().iter().filter_map(|iteration| iteration.classes.as_deref());
    let unread_pools = all.chain([newest]).map(|sample| sample.unread_pools).max();
    Some(ClassReadings {
        from: growth.map(|growth| growth.from),
        to: growth.map(|growth| growth.to),
        unread_pools: unread_pools.unwrap_or(0),
    })
}

fn entry(
    class: usize,
    newest: &ClassSample,
    growth: Option<&ClassGrowth>,
    iterations: &[Iteration],
) -> ClassEntry {
    let size = ClassSample::block_bytes(class);
    let step = |sample: &ClassSample| ClassStep {
        live_blocks: sample.blocks[class],
        live_bytes: sample.blocks[class].saturating_mul(size),
    };
    let ClassStep { live_blocks, live_bytes } = step(newest);
    let growth_blocks = growth.map(|growth| growth.blocks[class]);
    ClassEntry {
        size,
        live_blocks,
        live_bytes,
        growth_blocks,
        growth_bytes: growth_blocks.map(|blocks| blocks.saturating_mul(size.cast_signed())),
        per_iteration: iterations.iter().map(|it| it.classes.as_deref().map(step)).collect(),
    }
}

/// The section of the `--debug` report; nothing where they were not read.
pub(super) fn write_section(report: &Report<'_>, page: &mut Page) {
    let Some(line) = line(report) else { return };
    page.styled(page.palette.heading, format_args!("[DEBUG] {line}:"));
    for (entry, blocks, bytes) in growers(report).take(report.text.top) {
        page.line(format_args!(
            "  {}: {} of up to {} bytes",
            signed_size(bytes),
            counted(blocks.unsigned_abs(), "new object"),
            entry.size
        ));
    }
}

/// The line of the short report.
pub(super) fn write_line(report: &Report<'_>, page: &mut Page) {
    let Some(line) = line(report) else { return };
    match growers(report).next() {
        Some((entry, blocks, bytes)) => page.line(format_args!(
            "{line}; most in those of up to {} bytes: {} in {blocks}",
            entry.size,
            signed_size(bytes)
        )),
        None => page.line(line),
    }
}

/// Their growth together, and between which readings, where these are not the baseline and the last mark.
fn line(report: &Report<'_>) -> Option<String> {
    let (entries, readings) = (report.python_classes.as_ref()?, report.python_classes_read?);
    let name = "Python's objects by size class";
    let (Some(from), Some(to)) = (readings.from, readings.to) else {
        return Some(format!("{name}: growth not known (they were not read at two marks)"));
    };
    let sum = |of: fn(&ClassEntry) -> Option<i64>| -> i64 { entries.iter().filter_map(of).sum() };
    let mut marked = report.iterations.iter().filter(|iteration| !iteration.partial);
    let last = marked.clone().next_back().map_or(0, |last| last.index + last.merged - 1);
    let warm = marked.rfind(|iteration| iteration.warmup);
    let first = warm.map_or(0, |last| last.index + last.merged - 1);
    let span = if (from, to) == (first, last) {
        String::new()
    } else {
        format!(" (from iteration {from} to {to})")
    };
    let unread = match readings.unread_pools {
        0 => String::new(),
        pools => format!(", but for {}", counted(pools, "pool")),
    };
    Some(format!(
        "{name}{span}: {} in {:+}{unread}",
        signed_size(sum(|entry| entry.growth_bytes)),
        sum(|entry| entry.growth_blocks)
    ))
}

/// The classes that grew, most first, with their growth in blocks and bytes.
fn growers<'r>(report: &'r Report<'_>) -> impl Iterator<Item = (&'r ClassEntry, i64, i64)> {
    report
        .python_classes
        .iter()
        .flatten()
        .filter_map(|entry| Some((entry, entry.growth_blocks?, entry.growth_bytes?)))
        .filter(|(_, blocks, _)| *blocks > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{
        Palette, detailed, json as json_of,
        samples::{Run, text},
        short,
    };
    use crate::{
        analysis::NamedStacks,
        ledger::{
            ClassSample, EpochRecord,
            samples::{ending, epoch},
        },
    };

    #[expect(clippy::unnecessary_wraps, reason = "as a record has it")]
    /// So many blocks of 48 bytes and of 512.
    fn classes(small: u64, large: u64) -> Option<ClassSample> {
        let mut sample = ClassSample::default();
        (sample.blocks[2], sample.blocks[31]) = (small, large);
        Some(sample)
    }

    fn run(warmup: usize, samples: &[Option<ClassSample>; 4]) -> Run {
        let [first, second, third, end] = *samples;
        let marked = |classes| EpochRecord { classes, ..epoch(Vec::new()) };
        let last = EpochRecord { classes: end, ..ending(Vec::new()) };
        let records = vec![marked(first), marked(second), marked(third), last];
        Run::new(warmup, NamedStacks::new(), records)
    }

    fn both(run: &Run) -> [String; 2] {
        let report = run.report();
        [detailed(&report, Palette::plain()), short(&report, Palette::plain())].map(text)
    }

    #[test]
    fn growth_from_the_baseline_to_the_last_mark_is_shown_most_first() {
        let run = run(1, &[classes(100, 7), classes(150, 9), classes(1100, 8), classes(1200, 8)]);
        let [detailed, short] = both(&run);
        let section = "[DEBUG] Python's objects by size class: +47.4 KiB in +1001:\n  \
                       +46.9 KiB: 1000 new objects of up to 48 bytes\n  \
                       +512 B: 1 new object of up to 512 bytes\n[DEBUG] ";
        assert!(detailed.contains(section), "{detailed}");
        let line = "\nPython's objects by size class: +47.4 KiB in +1001; most in those of up to 48 bytes: \
                    +46.9 KiB in 1000\n";
        assert!(short.contains(line), "{short}");
        let document: Value = serde_json::from_slice(&json_of(&run.report())).expect("it is JSON");
        let first = &document["python_classes"][0];
        assert_eq!(first["size"], 48);
        // What lives is as of the end, growth to the last mark.
        assert_eq!([&first["live_blocks"], &first["live_bytes"]], [1200, 57_600]);
        assert_eq!([&first["growth_blocks"], &first["growth_bytes"]], [1000, 48_000]);
        assert_eq!(first["per_iteration"][1], json!({"live_blocks": 150, "live_bytes": 7200}));
        let read = json!({"from": 1, "to": 3, "unread_pools": 0});
        assert_eq!(document["python_classes_read"], read);
        assert_eq!(document["totals"]["net_bytes"], 0, "in no other figure");
    }

    #[test]
    fn what_was_not_read_is_said() {
        let [detailed, short] = both(&run(0, &[None, classes(9, 0), classes(7, 0), None]));
        let line = "Python's objects by size class (from iteration 2 to 3): -96 B in -2";
        assert!(detailed.contains(&format!("[DEBUG] {line}:\n[DEBUG] ")), "{detailed}");
        assert!(short.contains(&format!("\n{line}\n")), "{short}");
        let [_, short] = both(&run(0, &[None, None, classes(7, 0), None]));
        assert!(short.contains("size class: growth not known"), "{short}");
        let [_, short] = both(&run(0, &[None; 4]));
        assert!(!short.contains("size class"), "{short}");
        let mut torn = classes(9, 0);
        torn.as_mut().expect("it is one").unread_pools = 2;
        let [_, short] = both(&run(0, &[classes(7, 0), classes(7, 0), torn, None]));
        assert!(short.contains("in +2, but for 2 pools"), "{short}");
    }
}
