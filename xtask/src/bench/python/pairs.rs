//! One block of the same size and its end, from Python at a stack of 13 of its frames and from C at as many native ones as Python's
//! stack has.

use std::path::Path;

use anyhow::{Context, Result};
use memtrace_tests::Python;

use super::super::loops::{build, slice};
use super::super::spread::Spread;
use super::super::table::{Row, Table};
use super::super::variant::{Running, Tools, Variant};
use super::{name, source};

const VARIANTS: [Variant; 4] =
    [Variant::Untraced, Variant::Floor, Variant::Memtrace, Variant::Against];
/// Frames of Python's.
const DEPTH: &str = "13";
/// Functions that the loop in C is called through; with libc's and the loop's own they are as many frames as `bytes(600)` has
/// native ones.
const NATIVE_DEPTH: &str = "14";

/// One language in one variant.
struct Loop {
    language: Language,
    variant: Variant,
    running: Running,
    cost: Spread,
    busy: Spread,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    C,
    Python,
}

/// Runs both in all variants, which take turns.
pub(super) fn measure(
    python: &Python,
    tools: &Tools,
    folder: &Path,
    rounds: u32,
    table: &mut Table,
) -> Result<()> {
    println!("bench: {}: pairs", name(python));
    let program = build(folder)?;
    let script = source("python_pairs.py");
    let script = script.to_str().context("the workspace's path is not UTF-8")?;
    let mut loops = Vec::new();
    for variant in VARIANTS.into_iter().filter(|&variant| tools.have(variant)) {
        let in_c = tools.start(variant, &program, &["large", "1", NATIVE_DEPTH])?;
        let in_python = tools.start(variant, &python.path, &[script, DEPTH])?;
        for (language, running) in [(Language::C, in_c), (Language::Python, in_python)] {
            let (cost, busy) = (Spread::default(), Spread::default());
            loops.push(Loop { language, variant, running, cost, busy });
        }
    }
    for round in 0..rounds as usize {
        let count = loops.len();
        loops.rotate_left(round % count);
        for one in &mut loops {
            let slice = slice(&mut one.running)?;
            // The first round finds cold caches and stacks that aren't known yet.
            if round > 0 || rounds == 1 {
                one.cost.push(slice.ns_per_call);
                one.busy.push(slice.busy);
            }
        }
    }
    let added = |language| {
        let of =
            |variant| loops.iter().find(|one| (one.language, one.variant) == (language, variant));
        Some(of(Variant::Memtrace)?.cost.median() - of(Variant::Untraced)?.cost.median())
    };
    let note = added(Language::Python).zip(added(Language::C)).map(|(python, c)| {
        format!("adds {python:.0} ns to a pair, C {c:.0} ns: {:.2} ×", python / c)
    });
    loops.sort_by_key(|one| {
        (one.language == Language::Python, VARIANTS.iter().position(|&it| it == one.variant))
    });
    for Loop { language, variant, cost, busy, .. } in loops {
        let workload = match language {
            Language::C => format!("malloc(633) + free in C, beside {}", name(python)),
            Language::Python => format!("{}: bytes(600), {DEPTH} frames deep", name(python)),
        };
        table.push(Row { workload, variant: variant.name(), unit: "ns", cost, busy });
    }
    if let Some(note) = note {
        table.note(format!("{}, {DEPTH} frames deep: memtrace {note}.", name(python)));
    }
    Ok(())
}
