//! `cargo xtask bench`: what tracing costs the traced program, in one table. The method is in
//! docs/performance.md.
//!
//! Every variant of a workload runs beside the others, and they take turns, round by round: a busy
//! neighbour then slows them all, and the ratios within one run hold.

mod loops;
mod process;
mod programs;
mod python;
mod spread;
mod table;
mod variant;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use xtask::command::{cargo, is_root, run};
use xtask::workspace_root;

use crate::setup;

use table::Table;
use variant::Tools;

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Only these; all when none is named
    #[arg(value_enum)]
    parts: Vec<Part>,

    /// Rounds of each loop; programs run a fifth as often
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Another memtrace, to compare with in the same rounds
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

/// A group of rows of the table.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One thread, malloc and free
    Pairs,
    /// The same under a deep stack
    Deep,
    /// The same with stacks that have to be walked anew, through code whose rules have to be searched for
    Cold,
    /// The same in 16 threads
    Threads,
    /// realloc of one block
    Realloc,
    /// sqlite3, python3, a compiler
    Programs,
    /// Python: a loop that allocates, and scripts under it, tracemalloc and memray
    Python,
}

/// Runs the command.
pub(crate) fn show(options: &Options) -> Result<()> {
    if !is_root() {
        bail!("memtrace needs root: run `sudo env PATH=\"$PATH\" cargo xtask bench`");
    }
    setup::ensure()?;
    let target = workspace_root().join("target");
    // As the tests build it. The kernel side is optimised in any build, and it is what costs.
    println!("bench: building memtrace");
    run(cargo().args(["build", "--workspace", "--target-dir"]).arg(&target))?;
    let folder = target.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let tools = Tools::find(target.join("debug/memtrace"), options.against.clone(), &folder)?;
    let mut table = Table::default();
    let wants = |part| options.parts.is_empty() || options.parts.contains(&part);
    for workload in loops::WORKLOADS.iter().filter(|workload| wants(workload.part)) {
        loops::measure(workload, &tools, &folder, options.rounds, &mut table)?;
    }
    if wants(Part::Programs) {
        programs::measure(&tools, options.rounds.div_ceil(5), &mut table)?;
    }
    if wants(Part::Python) {
        python::measure(&tools, &folder, options.rounds, &mut table)?;
    }
    println!("\n{}", table::machine());
    println!("{table}");
    Ok(())
}
