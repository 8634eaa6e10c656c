//! Real programs, which do other things between their allocations.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use xtask::command::{ask, find};

use super::spread::Spread;
use super::table::{Row, Table};
use super::variant::{Tools, Variant};

const VARIANTS: [Variant; 6] = [
    Variant::Untraced,
    Variant::Floor,
    Variant::Memtrace,
    Variant::Against,
    Variant::Heaptrack,
    Variant::Massif,
];

/// A program that takes its work from standard input.
struct Program {
    name: &'static str,
    path: Option<PathBuf>,
    arguments: &'static [&'static str],
    work: String,
}

/// Runs each program in all of its variants, which take turns.
pub(super) fn measure(tools: &Tools, rounds: u32, table: &mut Table) -> Result<()> {
    for program in programs() {
        let Some(path) = &program.path else {
            println!("bench: {} is not installed", program.name);
            continue;
        };
        println!("bench: {}", program.name);
        let mut all: Vec<_> = VARIANTS
            .into_iter()
            .filter(|&variant| tools.have(variant))
            .map(|variant| (variant, Spread::default()))
            .collect();
        for _ in 0..rounds {
            for (variant, cost) in &mut all {
                let mut running = tools.start(*variant, path, program.arguments)?;
                cost.push(running.process.finish(&program.work)?);
            }
        }
        for (variant, cost) in all {
            let busy = Spread::default();
            let workload = program.name.to_owned();
            table.push(Row { workload, variant: variant.name(), unit: "s", cost, busy });
        }
    }
    Ok(())
}

fn programs() -> [Program; 3] {
    [
        Program {
            name: "sqlite3: 20 000 inserts",
            path: installed("sqlite3"),
            arguments: &[":memory:"],
            work: inserts(),
        },
        Program {
            name: "python3: dicts of strings and lists",
            path: installed("python3"),
            arguments: &["-"],
            work: dicts(),
        },
        Program {
            name: "gcc: a file of 200 functions",
            path: compiler(),
            arguments: &["-quiet", "-O1", "-o", "/dev/null", "-"],
            work: functions(),
        },
    ]
}

/// The system's own before what a version manager puts on `PATH`, which is a script.
fn installed(program: &str) -> Option<PathBuf> {
    let system = PathBuf::from("/usr/bin").join(program);
    if system.is_file() { Some(system) } else { find(program) }
}

/// The compiler proper: `gcc` itself only starts it.
fn compiler() -> Option<PathBuf> {
    let path = PathBuf::from(ask(Command::new("gcc").arg("-print-prog-name=cc1"))?.trim());
    path.is_file().then_some(path)
}

fn inserts() -> String {
    let mut work =
        String::from("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n REAL);\nBEGIN;\n");
    for i in 0..20_000 {
        // Writing to a string can't fail.
        let _ = writeln!(work, "INSERT INTO t VALUES ({i}, 'name of {i}', {i}.5);");
    }
    work.push_str("COMMIT;\n");
    work
}

fn dicts() -> String {
    "kept = []\n\
     for n in range(600):\n    \
         kept.append({str(i): [i] * 70 for i in range(200)})\n    \
         if n % 100 == 99: kept.clear()\n"
        .to_owned()
}

fn functions() -> String {
    let mut work = String::from("struct s { struct s *next; int a[8]; };\n");
    for i in 0..200 {
        let _ = writeln!(
            work,
            "int f{i}(struct s *p, int n) {{ int t = {i}; for (; p; p = p->next) \
             for (int i = 0; i < n; i++) t += p->a[i & 7] * {i} ^ (t >> 3); return t; }}"
        );
    }
    work
}
