//! Python: what an allocation of its own costs with its frames in the stack, and what scripts cost under memtrace and under the
//! tools that people use inside of Python.

mod memray;
mod pairs;
mod script;
mod scripts;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use memtrace_tests::{Python, SYSTEM_PYTHON};

use super::table::Table;
use super::variant::Tools;

/// Measures the group with the distribution's Python, and with the newest whose interpreter is a library.
pub(super) fn measure(tools: &Tools, folder: &Path, rounds: u32, table: &mut Table) -> Result<()> {
    let interpreters = interpreters();
    if interpreters.is_empty() {
        println!("bench: no Python from 3.10 to 3.13 is installed");
    }
    for python in &interpreters {
        pairs::measure(python, tools, folder, rounds, table)?;
    }
    for python in &interpreters {
        scripts::measure(python, tools, folder, rounds.div_ceil(5), table)?;
    }
    Ok(())
}

/// As the table names it.
fn name(python: &Python) -> String {
    let (major, minor) = python.version;
    let kind = if python.is_shared { "shared" } else { "static" };
    format!("Python {major}.{minor} ({kind})")
}

/// A file of this workspace's `bench/`.
fn source(name: &str) -> PathBuf {
    xtask::workspace_root().join("bench").join(name)
}

fn interpreters() -> Vec<Python> {
    let all = Python::all().unwrap_or_default();
    let system = fs::canonicalize(SYSTEM_PYTHON).unwrap_or_default();
    let newest = all.iter().filter(|one| one.is_shared && one.path != system);
    let newest = newest.max_by_key(|one| one.version);
    all.iter().find(|one| one.path == system).into_iter().chain(newest).cloned().collect()
}
