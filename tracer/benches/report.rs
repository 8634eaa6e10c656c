//! What a run's end costs: booking epochs, making the report, naming addresses; with 10 000 stacks, of which
//! a real program rarely has so many. `cargo bench -p memtrace`.

use std::{fs, fs::File, hint::black_box, path::Path, sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use memtrace::{
    analysis::{NamedStack, NamedStacks},
    ledger::{EpochRecord, Ledger, MarkTrigger, Plan, StackKey, mappings},
    report::{
        self, EventLedger, Inputs, Judging, MappingInputs, Palette, Report, Survivors, Target,
    },
    symbolize::{Frame, Language, Symbolizer},
    target::{Location, Module, ModuleId},
    units::ElfAddr,
};
use object::{Object as _, ObjectSymbol as _, SymbolKind};
use serde_json::json;
use tracer_common::{RowCounts, Space, StackId};

const STACKS: usize = 10_000;
const DEPTH: usize = 30;
const ITERATIONS: usize = 20;

fn key(id: usize) -> StackKey {
    StackKey { space: Space(0), stack: StackId(id as u64 + 1) }
}

/// An epoch in which every stack allocates.
fn epoch(at: usize) -> EpochRecord {
    let counts = |id: usize| RowCounts {
        alloc_bytes: id as u64 + 16,
        alloc_blocks: 1,
        ..RowCounts::default()
    };
    EpochRecord {
        trigger: MarkTrigger::Interval,
        label: None,
        partial: false,
        start_ns: at as u64 * 1_000_000_000,
        end_ns: (at as u64 + 1) * 1_000_000_000,
        peak_bytes: 0,
        rss_bytes: 0,
        memory: None,
        classes: None,
        mappings: mappings::MappingTotals::default(),
        rows: (0..STACKS).map(|id| (key(id), counts(id))).collect(),
        new_process: false,
        exec: None,
    }
}

fn named_stacks() -> NamedStacks {
    let frame = |function: &str, file: &str, line: usize| Frame {
        function: Some(function.to_owned()),
        module: "/usr/bin/app".to_owned(),
        address: line as u64,
        offset: 0,
        file: Some(file.to_owned()),
        line: Some(line as u32),
        source: None,
        inlined: false,
        language: Language::Native,
    };
    let stack = |id: usize| NamedStack {
        suppressed: None,
        frames: (1..DEPTH)
            .map(|line| frame("std::vector<int>::push_back(int&&)", "/src/deep.cc", line))
            .chain([frame("main", "/src/main.cc", id % 5000 + 1)])
            .collect(),
        unwind: "complete",
        python: None,
    };
    (0..STACKS).map(|id| (key(id), stack(id))).collect()
}

fn ledger_and_report(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("10 000 stacks");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    let mut ledger = Ledger::new(Plan { warmup: 1, ..Plan::default() });
    (0..ITERATIONS).for_each(|at| ledger.push(epoch(at)));
    group.bench_function("book an epoch", |bencher| {
        bencher.iter_batched(
            || (ledger.clone(), epoch(ITERATIONS)),
            |(mut ledger, epoch)| {
                ledger.push(epoch);
                ledger
            },
            BatchSize::PerIteration,
        );
    });
    let stacks = named_stacks();
    let target = Target { pid: 1, command: vec!["app".to_owned()], exit_status: None };
    let (settings, survivors, events) = (json!({}), Survivors::new(), EventLedger::default());
    let books = mappings::Mappings::default();
    let inputs = Inputs {
        target: &target,
        settings: &settings,
        top: 10,
        until_stable: false,
        ledger: &ledger,
        stacks: &stacks,
        survivors: &survivors,
        events: &events,
        mappings: MappingInputs { books: &books, lost: 0 },
        python_objects: None,
        python_pools: None,
        judging: Judging::default(),
    };
    group.bench_function("report as text", |bencher| {
        bencher.iter(|| report::detailed(&Report::build(black_box(inputs)), Palette::plain()));
    });
    group.bench_function("report as JSON", |bencher| {
        bencher.iter(|| report::json(&Report::build(black_box(inputs))));
    });
    group.finish();
}

/// Stacks of addresses all over this program's functions, more spread out than real ones.
fn locations(path: &Path) -> Vec<Vec<Location>> {
    let data = fs::read(path).expect("our own file");
    let file = object::File::parse(&*data).expect("an ELF file");
    let mut functions: Vec<u64> = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 16)
        .map(|symbol| symbol.address() + symbol.size() / 2)
        .collect();
    functions.sort_unstable();
    functions.dedup();
    let step = functions.len().div_ceil(DISTINCT);
    let spread: Vec<u64> = functions.into_iter().step_by(step).collect();
    let at = |i: usize| ElfAddr(spread[i.wrapping_mul(7919) % spread.len()]);
    (0..STACKS)
        .map(|stack| {
            (0..DEPTH).map(|i| Location::InModule(ModuleId(0), at(stack * DEPTH + i))).collect()
        })
        .collect()
}

/// Distinct addresses in these stacks; a large C++ program's 10 000 stacks have fewer.
const DISTINCT: usize = 3000;

fn symbolize(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("10 000 stacks");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    let path = std::env::current_exe().expect("we have a path");
    let stacks = locations(&path);
    let file = File::open(&path).map(Arc::new).ok();
    let modules = [Arc::new(Module { id: ModuleId(0), path, file })];
    group.bench_function("symbolize, 3 000 addresses", |bencher| {
        bencher.iter_batched(
            || Symbolizer::new(None),
            |mut symbolizer| symbolizer.symbolize(&modules, &stacks, |_| None),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, ledger_and_report, symbolize);
criterion_main!(benches);
