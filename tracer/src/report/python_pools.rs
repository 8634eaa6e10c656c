//! Lines that took pools for Python's small objects. A hint: the objects of one size share pools, whatever their lines.

use serde::Serialize;

use super::{
    Inputs, Report,
    page::Page,
    size::{counted, size},
};
use crate::{
    analysis::{Place, by_line},
    ledger::{Amount, StackKey},
};

/// Pools that one stack took between two marks, and that have objects in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolTaker {
    /// The stack.
    pub key: StackKey,
    /// The number of the iteration, from 1; `None` where it has not ended.
    pub iteration: Option<u32>,
    /// How many.
    pub pools: u64,
    /// Bytes of their objects.
    pub bytes: u64,
}

/// What was heard of pools that were taken.
#[derive(Clone, Debug)]
pub struct PoolInputs {
    /// Whether to the end: not where too many were taken.
    pub followed: bool,
    /// Who took those that are in use.
    pub takers: Vec<PoolTaker>,
    /// Pools in use, beside these, of which it is not known who took them.
    pub lost: u64,
}

/// `python_pools`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct PoolsEntry<'a> {
    pub followed: bool,
    pub lost: u64,
    pub lines: Vec<PoolLine<'a>>,
}

/// One of `python_pools.lines`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct PoolLine<'a> {
    pub file: &'a str,
    pub line: Option<u32>,
    pub function: Option<&'a str>,
    pub source: Option<&'a str>,
    pub pools: u64,
    pub bytes: u64,
    #[serde(skip)]
    place: Place<'a>,
}

impl<'a> PoolsEntry<'a> {
    /// Of the iterations between the readings that growth by size class was taken from; where there were no two, of all.
    pub(super) fn new(inputs: &Inputs<'a>) -> Option<Self> {
        let &PoolInputs { followed, ref takers, lost } = inputs.python_pools?;
        let growth = inputs.ledger.class_growth();
        let counts = |at: &u32| growth.is_none_or(|it| (it.from + 1..=it.to).contains(at));
        let taken = takers.iter().filter(|taker| taker.iteration.as_ref().is_some_and(counts));
        let (unknown, taken): (Vec<&PoolTaker>, Vec<_>) =
            taken.partition(|taker| taker.key.is_unknown());
        let lost = lost + unknown.iter().map(|taker| taker.pools).sum::<u64>();
        let rows = by_line(taken.into_iter().map(|taker| {
            let place = Place::of_stack(taker.key, inputs.stacks.get(&taker.key));
            let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            (place, Amount { bytes: signed(taker.bytes), blocks: signed(taker.pools) })
        }));
        let lines = rows.into_iter().map(|row| PoolLine::new(row.place, row.amount)).collect();
        Some(Self { followed, lost, lines })
    }
}

impl<'a> PoolLine<'a> {
    fn new(place: Place<'a>, amount: Amount) -> Self {
        let (line, function) = match place {
            Place::Line { line, .. } => (Some(line), None),
            Place::Function { function, .. } => (None, Some(function)),
            Place::Address { .. } | Place::Unknown => (None, None),
        };
        Self {
            file: place.file(),
            line,
            function,
            source: place.source(),
            pools: amount.blocks.unsigned_abs(),
            bytes: amount.bytes.unsigned_abs(),
            place,
        }
    }

    /// `1.4 MiB in 95 pools`.
    fn amount(&self) -> String {
        let bytes = i64::try_from(self.bytes).unwrap_or(i64::MAX);
        format!("{} in {}", size(bytes), counted(self.pools, "pool"))
    }
}

/// The section of the `--debug` report.
pub(super) fn write_section(report: &Report<'_>, page: &mut Page) {
    let Some(pools) = shown(report) else { return };
    if pools.lines.is_empty() {
        page.line(format_args!("[DEBUG] {}", unknown(pools)));
        return;
    }
    page.styled(
        page.palette.heading,
        format_args!(
            "[DEBUG] Lines that took pools for these objects (a hint: objects of other lines may share them{}):",
            but_for(pools)
        ),
    );
    for line in pools.lines.iter().take(report.text.top) {
        page.line(format_args!("  {}", line.amount()));
        page.line(format_args!("    {}", line.place));
        if let Some(source) = line.source {
            page.line(format_args!("      {source}"));
        }
    }
}

/// The line of the short report.
pub(super) fn write_line(report: &Report<'_>, page: &mut Page) {
    let Some(pools) = shown(report) else { return };
    match pools.lines.first() {
        Some(line) => page.line(format_args!(
            "Pools for them were taken most at {}: {} (a hint{})",
            line.place.brief(),
            line.amount(),
            but_for(pools),
        )),
        None => page.line(unknown(pools)),
    }
}

/// What there is to say: only where objects grew, since pools that are given back and taken anew have takers, too.
fn shown<'r, 'a>(report: &'r Report<'a>) -> Option<&'r PoolsEntry<'a>> {
    let classes = report.python_classes.as_ref()?;
    let growth: Option<i64> = classes.iter().map(|class| class.growth_bytes).sum();
    let pools = report.python_pools.as_ref().filter(|_| growth > Some(0))?;
    (!pools.lines.is_empty() || pools.lost > 0 || !pools.followed).then_some(pools)
}

fn unknown(pools: &PoolsEntry<'_>) -> String {
    let why = if pools.followed {
        counted(pools.lost, "pool")
    } else {
        "too many were taken to follow them".to_owned()
    };
    format!("Pools for them were taken, by which lines is not known ({why})")
}

fn but_for(pools: &PoolsEntry<'_>) -> String {
    match pools.lost {
        0 => String::new(),
        lost => format!("; not known of {}", counted(lost, "pool")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::samples::Run, *};
    use crate::{
        analysis::{NamedStack, NamedStacks, samples::at},
        ledger::{
            ClassSample, EpochRecord,
            samples::{epoch, key},
        },
        report::{Palette, detailed, json as json_of, samples::text, short},
    };

    fn run(grows: bool) -> Run {
        let stacks = NamedStacks::from([
            (key(1), NamedStack::new(vec![at("f", "a.py", 7)], "complete")),
            (key(2), NamedStack::new(vec![at("f", "a.py", 9)], "complete")),
        ]);
        let marked = |blocks| {
            let mut classes = ClassSample::default();
            classes.blocks[3] = blocks;
            EpochRecord { classes: Some(classes), ..epoch(Vec::new()) }
        };
        let mut run = Run::new(
            1,
            stacks,
            vec![marked(5), marked(if grows { 9 } else { 5 }), epoch(Vec::new())],
        );
        let taker =
            |id, iteration, pools| PoolTaker { key: key(id), iteration, pools, bytes: pools << 14 };
        run.pools = Some(PoolInputs {
            followed: true,
            takers: vec![
                taker(1, Some(1), 900), // before the baseline
                taker(1, Some(2), 2),
                taker(2, Some(2), 5),
                taker(2, Some(3), 700), // after the last reading
                taker(2, None, 800),
                taker(0, Some(1), 600), // of unknown ones, too, only those in between
                taker(0, Some(2), 3),
            ],
            lost: 0,
        });
        run
    }

    #[test]
    fn pools_count_that_were_taken_between_the_readings() {
        let run = run(true);
        let page = text(detailed(&run.report(), Palette::plain()));
        let section = "may share them; not known of 3 pools):\n  80.0 KiB in 5 pools\n    File \"a.py\", line 9\n  \
                       32.0 KiB in 2 pools\n    File \"a.py\", line 7\n[DEBUG]";
        assert!(page.contains(section), "{page}");
        let line = "\nPools for them were taken most at a.py:9: 80.0 KiB in 5 pools (a hint; not known of 3 pools)\n";
        let page = text(short(&run.report(), Palette::plain()));
        assert!(page.contains(line), "{page}");
        let document: Value = serde_json::from_slice(&json_of(&run.report())).expect("it is JSON");
        let pools = &document["python_pools"];
        assert_eq!(pools["lines"][0]["pools"], 5);
        assert_eq!([&pools["lines"][1]["file"], &pools["lost"]], [&json!("a.py"), &json!(3)]);
        assert_eq!(document["totals"]["net_bytes"], 0, "in no other figure");
    }

    #[test]
    fn what_is_not_known_is_said() {
        let mut run = run(true);
        let said = |run: &Run| text(short(&run.report(), Palette::plain()));
        run.pools.as_mut().expect("some").lost = 4;
        assert!(said(&run).contains("(a hint; not known of 7 pools)"), "{}", said(&run));
        let none = |followed, lost| Some(PoolInputs { followed, takers: Vec::new(), lost });
        run.pools = none(true, 3);
        assert!(said(&run).contains("by which lines is not known (3 pools)"), "{}", said(&run));
        run.pools = none(false, 0);
        assert!(said(&run).contains("not known (too many were taken"), "{}", said(&run));
        for pools in [None, none(true, 0)] {
            run.pools = pools;
            assert!(!said(&run).contains("Pools for them"), "{}", said(&run));
        }
    }

    #[test]
    fn pools_that_are_only_taken_anew_are_no_growth() {
        let run = run(false);
        let said = text(short(&run.report(), Palette::plain()));
        assert!(!said.contains("Pools for them"), "{said}");
    }
}
