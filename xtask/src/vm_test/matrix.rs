//! The command: each kernel in turn, every program in both modes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use xtask::workspace_root;

use super::image;
use super::kernels::{KERNELS, Kernel};
use super::machine::{Run, boot};
use super::programs::PROGRAMS;
use super::results::{Outcome, parse, verified};
use super::verdict::{
    ITERATIONS, MANY_THREADS, MODES, POOLS, THREADS, check, check_python, check_threads,
};
use crate::need::{Need, install_missing, need};
use crate::setup;

const NEEDS: [Need; 3] = [
    need("qemu-system-x86_64", "qemu-system-x86", "the machine that the kernels run on"),
    need("gcc", "gcc", "programs with a known leak in C"),
    need("g++", "g++", "programs with a known leak in C++"),
];

/// Runs the command; with `only`, on that kernel.
pub(crate) fn run_all(only: Option<&str>) -> Result<()> {
    setup::ensure()?;
    install_missing("vm-test", &NEEDS)?;
    let folder = workspace_root().join("target/vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let image = image::build(&folder)?;
    let kernels = KERNELS.iter().filter(|kernel| only.is_none_or(|only| only == kernel.version));
    let mut failed = Vec::new();
    for kernel in kernels {
        println!("vm-test: Linux {} ({})", kernel.version, kernel.why);
        if let Err(error) = try_kernel(kernel, &image, &folder) {
            println!("  {error:#}");
            failed.push(kernel.version);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("vm-test failed on Linux {}", failed.join(" and "))
}

fn try_kernel(kernel: &Kernel, image: &Path, folder: &Path) -> Result<()> {
    let vmlinuz = kernel.image(folder)?;
    let run = boot(&vmlinuz, image, &format!("ITERATIONS={ITERATIONS} THREADS={THREADS}"), folder)?;
    let name = vmlinuz.file_name().unwrap_or_default().to_string_lossy();
    let (runs, wrong) = judge(&run)?;
    if wrong > 0 {
        bail!("{name}: {wrong} of {runs} runs are wrong; the console:\n{}", run.console);
    }
    println!("  {name}: {runs} runs, all exact, in {} s", run.took.as_secs());
    Ok(())
}

/// Prints what came of each run, and gives how many there were, and how many are not as they must be.
fn judge(run: &Run) -> Result<(usize, usize)> {
    let Some(outcomes) = parse(&run.results) else {
        bail!("the machine ended before its last run; the console:\n{}", run.console);
    };
    let (mut runs, mut wrong) = (PROGRAMS.len() * MODES.len() + 1, 0);
    for program in &PROGRAMS {
        for mode in MODES {
            let outcome = outcomes.iter().find(|o| o.program == program.name && o.mode == mode);
            wrong += print_wrong(outcome, |outcome| check(outcome, program));
        }
    }
    wrong += print_wrong(outcomes.iter().find(|o| o.mode == MANY_THREADS), check_threads);
    match outcomes.iter().find(|o| o.mode == POOLS) {
        Some(python) => {
            runs += 1;
            wrong += print_wrong(Some(python), check_python);
        }
        None => println!("  without Python: there is no /usr/bin/python3 here to take along"),
    }
    print_verified(&outcomes);
    Ok((runs, wrong))
}

/// Gives 1 where it is not as it must be.
fn print_wrong(outcome: Option<&Outcome>, check: impl FnOnce(&Outcome) -> Result<()>) -> usize {
    let Err(error) = outcome.context("a run is missing").and_then(check) else { return 0 };
    if let Some(outcome) = outcome {
        println!("  {} {}: {error:#}", outcome.program, outcome.mode);
        for said in &outcome.said {
            println!("    {said}");
        }
    } else {
        println!("  {error:#}");
    }
    1
}

/// All programs, of which each run has its own; what the verifier goes through is the same each time.
fn print_verified(outcomes: &[Outcome]) {
    let all: BTreeMap<_, _> = outcomes.iter().flat_map(verified).collect();
    let counts: Vec<_> = all.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if !counts.is_empty() {
        println!("  instructions that the verifier went through: {}", counts.join(", "));
    }
}
