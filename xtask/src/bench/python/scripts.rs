//! Scripts in all the ways to see what they allocate.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use memtrace_tests::Python;

use super::super::spread::Spread;
use super::super::table::{Row, Table};
use super::super::variant::{Tools, Variant};
use super::script::Script;
use super::{memray, name};

const SCRIPTS: [(&str, &str); 2] =
    [("compile", "compileall of 6 modules"), ("json", "JSON round trips")];

/// A way to run a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By itself.
    Untraced,
    /// Attached to, with these options.
    Attached(&'static [&'static str]),
    /// Under `memtrace exec`, which sets PYTHONMALLOC.
    Exec,
    /// With Python's own tracing, of so many frames.
    Tracemalloc(u32),
    /// Under memray, which this Python has, with these options.
    Memray(PathBuf, &'static [&'static str]),
}

const OFF: &[&str] = &["--python-objects", "off"];
const BY_CLASS: &[&str] = &["--python-objects", "classes"];
const BY_PROBES: &[&str] = &["--python-objects", "exact"];
const ALL_OBJECTS: &[&str] = &["--trace-python-allocators"];

impl Way {
    fn name(&self) -> &'static str {
        match self {
            Self::Untraced => Variant::Untraced.name(),
            Self::Attached(options) if *options == OFF => "memtrace --pid, objects off",
            Self::Attached(options) if *options == BY_CLASS => {
                "memtrace --pid, objects by size class"
            }
            Self::Attached(_) => "memtrace --pid, each object by probes",
            Self::Exec => "memtrace exec, each object by PYTHONMALLOC",
            Self::Tracemalloc(1) => "tracemalloc, 1 frame",
            Self::Tracemalloc(_) => "tracemalloc, 25 frames",
            Self::Memray(_, []) => "memray",
            Self::Memray(..) => "memray --trace-python-allocators",
        }
    }

    /// Whether Python's own objects are to be traced.
    pub(super) fn counts_objects(&self) -> bool {
        matches!(self, Self::Exec) || *self == Self::Attached(BY_PROBES)
    }

    /// What stands before the script on the interpreter's command line.
    pub(super) fn options(&self, scratch: &Path) -> Vec<OsString> {
        match self {
            Self::Tracemalloc(frames) => vec!["-X".into(), format!("tracemalloc={frames}").into()],
            Self::Memray(_, options) => ["-m", "memray", "run", "-q", "-f"]
                .into_iter()
                .chain(options.iter().copied())
                .map(OsString::from)
                .chain(["-o".into(), scratch.join("memray.bin").into()])
                .collect(),
            Self::Untraced | Self::Attached(_) | Self::Exec => Vec::new(),
        }
    }
}

/// Runs each script in all ways, which take turns.
pub(super) fn measure(
    python: &Python,
    tools: &Tools,
    folder: &Path,
    rounds: u32,
    table: &mut Table,
) -> Result<()> {
    let ways = ways(python, folder);
    let libc = tools.own_libc("python")?;
    for (work, title) in SCRIPTS {
        let workload = format!("{}: {title}", name(python));
        println!("bench: {workload}");
        let mut all: Vec<_> = ways.iter().map(|way| (way, Spread::default())).collect();
        for round in 0..rounds as usize {
            let count = all.len();
            all.rotate_left(round % count);
            for (way, cost) in &mut all {
                cost.push(Script { python, way, work, libc: &libc }.run(tools, folder)?);
            }
        }
        all.sort_by_key(|(way, _)| ways.iter().position(|other| other == *way));
        for (way, cost) in all {
            let (workload, variant, busy) = (workload.clone(), way.name(), Spread::default());
            table.push(Row { workload, variant, unit: "ms", cost, busy });
        }
    }
    Ok(())
}

fn ways(python: &Python, folder: &Path) -> Vec<Way> {
    let mut ways = vec![Way::Untraced, Way::Attached(OFF), Way::Attached(BY_CLASS), Way::Exec];
    // The others' interpreters may have copies of the allocator in them, where no probe is passed.
    if python.is_shared {
        ways.push(Way::Attached(BY_PROBES));
    }
    ways.extend([Way::Tracemalloc(1), Way::Tracemalloc(25)]);
    match memray::interpreter(python, folder) {
        Ok(interpreter) => {
            ways.extend([&[], ALL_OBJECTS].map(|it| Way::Memray(interpreter.clone(), it)));
        }
        Err(why) => println!("bench: memray is not compared with: {why}"),
    }
    ways
}
