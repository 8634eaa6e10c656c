//! Recorded runs for the golden tests.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};
use tracer_common::{RowCounts, StackId};

use super::{
    EventLedger, Inputs, IterationBlock, Judging, MappingInputs, Palette, PoolInputs, Report, Side,
    Survivor, Survivors, Target, debug_iteration, detailed, short,
};
use crate::{
    analysis::{
        NamedStack, NamedStacks,
        samples::{at, frame, within},
    },
    compare::Recording,
    gates::Gates,
    ledger::{
        EpochRecord, Ledger, MarkTrigger, MemorySample, Plan, Resident, StackKey,
        mappings::{Action, Change, Mappings, Range},
        samples::{counts, ending, epoch, key},
    },
    suppressions::Suppressions,
    symbolize::{Frame, Language},
};

pub(super) const MIB: u64 = 1 << 20;

/// Everything that a report borrows, and the text that was printed on the way.
pub(super) struct Run {
    pub(super) target: Target,
    pub(super) settings: Value,
    pub(super) ledger: Ledger,
    pub(super) stacks: NamedStacks,
    pub(super) survivors: Survivors,
    pub(super) events: EventLedger,
    pub(super) mappings: Mappings,
    pub(super) lost_mappings: u64,
    pub(super) pools: Option<PoolInputs>,
    pub(super) suppressions: Suppressions,
    pub(super) gates: Gates,
    pub(super) baseline: Option<Recording>,
    pub(super) until_stable: bool,
    pub(super) printed: String,
}

impl Run {
    pub(super) fn new(warmup: usize, stacks: NamedStacks, records: Vec<EpochRecord>) -> Self {
        let mut ledger =
            Ledger::new(Plan { warmup, rss_at_start: Some(20 * MIB), ..Plan::default() });
        let mut printed = String::new();
        for record in records {
            ledger.push(record);
            let block = IterationBlock::of_last(&ledger, &stacks, 3);
            printed.push_str(&text(debug_iteration(&block, Palette::plain())));
        }
        let sum =
            |of: fn(&RowCounts) -> u64| ledger.iterations().iter().map(|i| of(&i.counts)).sum();
        let (allocs, frees): (u64, u64) = (sum(|c| c.alloc_blocks), sum(|c| c.free_blocks));
        let side = |seen| Side { seen, recorded: seen, ..Side::default() };
        let events =
            EventLedger { allocs: side(allocs), frees: side(frees), ..EventLedger::default() };
        Self {
            target: Target {
                pid: 1234,
                command: vec!["app".into(), "--serve".into()],
                exit_status: None,
            },
            settings: json!({ "top": 3, "warmup": warmup }),
            ledger,
            stacks,
            survivors: Survivors::new(),
            events,
            mappings: Mappings::default(),
            lost_mappings: 0,
            pools: None,
            suppressions: Suppressions::default(),
            gates: Gates::default(),
            baseline: None,
            until_stable: false,
            printed,
        }
    }

    pub(super) fn report(&self) -> Report<'_> {
        Report::build(Inputs {
            target: &self.target,
            settings: &self.settings,
            top: 3,
            until_stable: self.until_stable,
            ledger: &self.ledger,
            stacks: &self.stacks,
            survivors: &self.survivors,
            events: &self.events,
            mappings: MappingInputs { books: &self.mappings, lost: self.lost_mappings },
            python_objects: None,
            python_pools: self.pools.as_ref(),
            judging: Judging {
                suppressions: self.suppressions.all(),
                gates: self.gates,
                marks_expected: false,
                baseline: self.baseline.as_ref(),
            },
        })
    }

    /// All that a user sees, `--debug` first, then the short report.
    pub(super) fn seen(&self) -> String {
        let report = self.report();
        let final_part = text(detailed(&report, Palette::plain()));
        let short = text(short(&report, Palette::plain()));
        format!("{}=== final part\n{final_part}=== short\n{short}", self.printed)
    }
}

pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("reports are text")
}

pub(super) fn stack(frames: Vec<Frame>) -> NamedStack {
    NamedStack::new(frames, "complete")
}

pub(super) fn with_source(source: &str, frame: Frame) -> Frame {
    Frame { source: Some(source.to_owned()), ..frame }
}

/// So many MiB are resident, so many of them the allocator's, and 1 the program's own mapping.
fn memory(rss: u64, allocator: u64) -> MemorySample {
    MemorySample {
        rss_bytes: rss * MIB,
        anonymous_bytes: (rss - 5) * MIB,
        resident: Some(Resident { allocator_bytes: allocator * MIB, mappings_bytes: MIB }),
    }
}

/// The same, where so much (bytes, blocks) of the frees was born before.
fn carried(counts: RowCounts, (bytes, blocks): (u64, u64)) -> RowCounts {
    RowCounts { carried_bytes: bytes, carried_blocks: blocks, ..counts }
}

fn names() -> NamedStacks {
    let main = || at("main", "/src/app.c", 80);
    let leak = with_source("p = malloc(n);", at("leak", "/src/app.c", 42));
    let other_caller = Frame { inlined: true, ..at("retry", "/src/retry.c", 9) };
    let cache = with_source("cache[i] = strdup(s);", at("fill", "/src/cache.c", 7));
    let python = Frame {
        language: Language::Python,
        ..with_source("data = [i for i in range(10000)]", at("load", "/path/to/your/file.py", 42))
    };
    let interpreter = within("/usr/bin/python3.11", "PyObject_Malloc");
    NamedStacks::from([
        (key(1), stack(vec![leak.clone(), main()])),
        (key(2), stack(vec![leak, other_caller, main()])),
        (key(3), stack(vec![within("/lib/libc.so.6", "strdup"), cache, main()])),
        (key(4), NamedStack::new(vec![interpreter, python], "truncated")),
        (key(5), stack(vec![frame("parse_header"), frame("main")])),
    ])
}

/// Five iterations, one of warm-up, and an ending: a leak on two paths, a cache that fills, churn, one burst,
/// and a stack that was lost.
pub(super) fn ordinary() -> Run {
    ordinary_of(names())
}

fn ordinary_of(names: NamedStacks) -> Run {
    let fill = [3 * MIB, 2 * MIB, MIB, 0, 0];
    let mut records: Vec<_> = fill
        .into_iter()
        .enumerate()
        .map(|(at, fill)| {
            let mut rows = vec![
                (key(1), counts((MIB, 100), (0, 0))),
                (key(2), counts((50_000, 10), (0, 0))),
                (key(4), carried(counts((8 * MIB, 1000), (8 * MIB, 1000)), (MIB, 100))),
            ];
            if fill > 0 {
                rows.push((key(3), counts((fill, 64), (0, 0))));
            }
            if at == 3 {
                rows.push((key(5), counts((700, 1), (0, 0))));
                rows.push((
                    StackKey { stack: StackId::UNKNOWN, ..key(0) },
                    counts((96, 2), (0, 0)),
                ));
            }
            EpochRecord {
                peak_bytes: 9 * MIB + 123_456,
                rss_bytes: (30 + 4 * at as u64) * MIB,
                memory: (at % 4 == 0).then(|| memory(30 + 4 * at as u64, 8 + 2 * at as u64)),
                label: (at == 2).then(|| "after login".to_owned()),
                ..epoch(rows)
            }
        })
        .collect();
    let torn_down = counts((0, 0), (5 * MIB, 500));
    records.push(ending(vec![(key(1), carried(torn_down, (5 * MIB, 500)))]));
    let mut run = Run::new(1, names, records);
    run.survivors.insert(
        key(2),
        (1..=5).rev().map(|born| Survivor { born, blocks: 10, bytes: 50_000 }).collect(),
    );
    run
}

/// The ordinary run with two of its stacks suppressed, and limits that it keeps and doesn't.
pub(super) fn judged() -> Run {
    let mut stacks = names();
    let text = "# known\nleak:^fill$\nleak:nothing like that\nleak:file.py\n";
    let suppressions = Suppressions::parse(text, Path::new("known.txt")).expect("it is one");
    for named in stacks.values_mut() {
        named.suppressed = suppressions.matching(&named.frames);
    }
    let gates = Gates { total: Some(MIB), per_stack: Some(100_000) };
    Run { suppressions, gates, ..ordinary_of(stacks) }
}

/// The whole trace is one iteration; no debug information, one object without symbols.
pub(super) fn one_iteration_without_debug_info() -> Run {
    let stacks = NamedStacks::from([
        (key(1), stack(vec![frame("parse_header"), frame("main")])),
        (key(2), stack(vec![within("/usr/lib/libblob.so", ""), within("[unknown]", "")])),
        (key(3), stack(vec![within("/usr/lib/x86_64-linux-gnu/libc.so.6", "fopen")])),
    ]);
    let rows = vec![
        (key(1), counts((8_912_896, 1500), (0, 0))),
        (key(2), counts((2048, 2), (1024, 1))),
        (key(3), counts((472, 1), (472, 1))),
    ];
    Run::new(0, stacks, vec![EpochRecord { rss_bytes: 28 * MIB, ..ending(rows) }])
}

/// Nothing was allocated.
pub(super) fn empty() -> Run {
    let mut run = Run::new(0, NamedStacks::new(), vec![epoch(vec![]), epoch(vec![])]);
    run.target.exit_status = Some(0);
    run
}

/// Numbers as wide as they get.
pub(super) fn wide() -> Run {
    let tib = 1_u64 << 40;
    let grow = |step: u64| {
        let row = counts((7 * tib, 4_000_000_000_000_000_000), (0, 0));
        EpochRecord {
            rss_bytes: step * 5 * tib,
            label: Some("a mark with a name that goes on and on".to_owned()),
            ..epoch(vec![(key(1), row)])
        }
    };
    Run::new(0, names(), vec![grow(1), grow(2)])
}

/// More is freed than allocated.
pub(super) fn shrinking() -> Run {
    let less = || {
        let rows = vec![
            (key(1), carried(counts((0, 0), (2 * MIB, 20)), (2 * MIB, 20))),
            (key(5), counts((600, 6), (0, 0))),
        ];
        EpochRecord { rss_bytes: 18 * MIB, ..epoch(rows) }
    };
    let first = vec![(key(1), counts((10 * MIB, 100), (0, 0)))];
    Run::new(1, names(), vec![epoch(first), less(), less(), less()])
}

/// Events were lost, and some are not accounted for.
pub(super) fn incomplete() -> Run {
    let rows = || vec![(key(1), counts((4096, 4), (0, 0)))];
    let mut run = Run::new(0, names(), vec![epoch(rows()), epoch(rows())]);
    run.events.allocs.seen += 10;
    run.events.allocs.lost = BTreeMap::from([("live_full", 7), ("missed_return", 0)]);
    run.events.unattributed = BTreeMap::from([("stack_full", 2)]);
    run
}

/// Two iterations in which the program and the allocator map: one line's range grows, one stays, one goes
/// again, and `mremap` enlarges what the allocator got.
pub(super) fn mapping() -> Run {
    let mut books = Mappings::default();
    let mut records = Vec::new();
    for at in 0..3 {
        let base = (1 + at) << 30;
        let range = |slot: u64, len: u64| Range {
            start: base + (slot << 20),
            end: base + (slot << 20) + len,
        };
        let by = |stack, action| Change {
            space: key(stack).space,
            tid: 1,
            stack: StackId(stack),
            in_heap: false,
            action,
        };
        books.apply(&by(1, Action::Map(range(0, MIB))));
        books.apply(&by(5, Action::Map(range(1, 8192))));
        books.apply(&by(5, Action::Unmap(range(1, 8192))));
        books.apply(&Change { in_heap: true, ..by(0, Action::Map(range(2, 200_704))) });
        books.apply(&by(3, Action::Settle));
        if at == 1 {
            books.apply(&by(2, Action::Map(range(3, 4096))));
        }
        let rows = vec![(key(3), counts((200_000, 1), (0, 0)))];
        records.push(EpochRecord { mappings: books.totals(), ..epoch(rows) });
        books.close(false, at == 0);
    }
    let mut run = Run::new(1, names(), records);
    run.mappings = books;
    run
}

/// `count` stacks in `iterations` iterations.
pub(super) fn many(count: u64, iterations: usize) -> (NamedStacks, Vec<EpochRecord>) {
    let stacks = (1..=count)
        .map(|id| {
            let frames = (0..30)
                .map(|depth| at("std::vector<int>::push_back(int&&)", "/src/deep.cc", depth + 1))
                .chain([at("main", "/src/main.cc", id as u32 % 5000)])
                .collect();
            (key(id), stack(frames))
        })
        .collect();
    let records = (0..iterations)
        .map(|_| {
            let mut record =
                epoch((1..=count).map(|id| (key(id), counts((id, 1), (0, 0)))).collect());
            record.trigger = MarkTrigger::Run;
            record
        })
        .collect();
    (stacks, records)
}
