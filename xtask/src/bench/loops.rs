//! Loops that do nothing but allocate: the worst that can happen to a traced program.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;

use anyhow::{Context, Result};
use xtask::command::run;
use xtask::workspace_root;

use super::Part;
use super::spread::Spread;
use super::table::{Row, Table};
use super::variant::{Running, Tools, Variant};

/// How long a variant runs in a round, in ms.
const SLICE: &str = "150";

/// One loop.
pub(super) struct Workload {
    pub(super) part: Part,
    name: &'static str,
    arguments: [&'static str; 3],
    variants: &'static [Variant],
}

const OURS: [Variant; 4] = [Variant::Untraced, Variant::Floor, Variant::Memtrace, Variant::Against];

/// All loops.
pub(super) const WORKLOADS: [Workload; 7] = [
    Workload {
        part: Part::Pairs,
        name: "malloc(100) + free",
        arguments: ["pair", "1", "2"],
        variants: &Variant::ALL,
    },
    Workload {
        part: Part::Deep,
        name: "the same, 16 frames deep",
        arguments: ["pair", "1", "14"],
        variants: &Variant::ALL,
    },
    Workload {
        part: Part::Deep,
        name: "the same, 32 frames deep",
        arguments: ["pair", "1", "30"],
        variants: &Variant::ALL,
    },
    Workload {
        part: Part::Cold,
        name: "cold walk, 4 frames",
        arguments: ["fresh", "1", "2"],
        variants: &OURS,
    },
    Workload {
        part: Part::Cold,
        name: "cold walk, 36 frames",
        arguments: ["fresh", "1", "34"],
        variants: &OURS,
    },
    Workload {
        part: Part::Threads,
        name: "the same, 16 threads",
        arguments: ["pair", "16", "2"],
        variants: &OURS,
    },
    Workload {
        part: Part::Realloc,
        name: "realloc to 100 or 200",
        arguments: ["realloc", "1", "2"],
        variants: &Variant::ALL,
    },
];

/// Runs a loop in all of its variants, which take turns.
pub(super) fn measure(
    workload: &Workload,
    tools: &Tools,
    folder: &Path,
    rounds: u32,
    table: &mut Table,
) -> Result<()> {
    println!("bench: {}", workload.name);
    let program = build(folder)?;
    let mut all = Vec::new();
    for &variant in workload.variants.iter().filter(|&&variant| tools.have(variant)) {
        let running = tools.start(variant, &program, &workload.arguments)?;
        all.push((variant, running, Spread::default(), Spread::default()));
    }
    for round in 0..rounds as usize {
        // A different one first each time, lest one always pays for what another leaves behind.
        let count = all.len();
        all.rotate_left(round % count.max(1));
        for (_, running, cost, busy) in &mut all {
            let slice = slice(running)?;
            // The first round finds cold caches and stacks that aren't known yet.
            if round > 0 || rounds == 1 {
                cost.push(slice.ns_per_call);
                busy.push(slice.busy);
            }
        }
    }
    all.sort_by_key(|(variant, ..)| Variant::ALL.iter().position(|other| other == variant));
    for (variant, _, cost, busy) in all {
        let workload = workload.name.to_owned();
        table.push(Row { workload, variant: variant.name(), unit: "ns", cost, busy });
    }
    Ok(())
}

/// What a loop did in one round.
pub(super) struct Slice {
    pub(super) ns_per_call: f64,
    /// The CPUs' share of the time; below 1, threads waited, or other programs ran.
    pub(super) busy: f64,
}

/// Has a loop run for a while, and says what it did.
pub(super) fn slice(running: &mut Running) -> Result<Slice> {
    let answer = running.process.ask(SLICE)?;
    let numbers: Vec<f64> =
        answer.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [calls, cpu, wall, threads] = numbers[..] else {
        anyhow::bail!("the loop answered {answer:?}");
    };
    let cpus = available_parallelism().map_or(1, NonZero::get) as f64;
    Ok(Slice { ns_per_call: cpu / calls, busy: cpu / (wall * threads.min(cpus)) })
}

/// Compiles the loops that are written in C.
pub(super) fn build(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("pairs");
    let source = workspace_root().join("bench/pairs.c");
    // Frame pointers, and a frame for each function: the stack is as deep as it says.
    run(Command::new("cc")
        .args(["-O2", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-Wall"])
        .args(["-pthread", "-o"])
        .arg(&program)
        .arg(source))
    .context("the bench needs a C compiler")?;
    Ok(program)
}
