//! What goes into the virtual machine: memtrace, and programs whose leak is known to the byte.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use xtask::command::{ask, cargo, run};
use xtask::workspace_root;

/// Names a binary to try in place of the one that would be built here, as for the tests.
const GIVEN: &str = "MEMTRACE_TEST_BINARY";

/// A program that leaks 100 blocks of 1000 bytes per iteration from one line, and frees everything else.
pub(super) struct Program {
    /// What it is called in the virtual machine.
    pub name: &'static str,
    source: &'static str,
    compiler: &'static str,
    flags: &'static [&'static str],
}

const C: &[&str] = &["-g", "-O1", "-fno-omit-frame-pointer", "-fno-builtin"];
const C_STATIC: &[&str] = &["-g", "-O1", "-fno-omit-frame-pointer", "-fno-builtin", "-static"];
const CPP: &[&str] = &["-g", "-O1", "-fno-omit-frame-pointer", "-std=c++17"];
const RUST: &[&str] = &["--edition", "2024", "-g", "-O", "-C", "force-frame-pointers=yes"];

/// Those of `tests/tests/leaks.rs`, compiled as there.
pub(super) const PROGRAMS: [Program; 4] = [
    Program { name: "c", source: "leak.c", compiler: "cc", flags: C },
    Program { name: "c-static", source: "leak.c", compiler: "cc", flags: C_STATIC },
    Program { name: "cpp", source: "leak.cc", compiler: "c++", flags: CPP },
    Program { name: "rust", source: "leak.rs", compiler: "rustc", flags: RUST },
];

/// The program of `tests/tests/concurrency.rs`.
pub(super) fn concurrency(folder: &Path) -> Result<PathBuf> {
    let sources = workspace_root().join("tests/programs");
    let program = folder.join("concurrency");
    run(Command::new("cc")
        .args(["-O2", "-fno-builtin", "-pthread", "-o"])
        .arg(&program)
        .args(["concurrency.c", "known.c"].map(|source| sources.join(source))))?;
    Ok(program)
}

/// The script of `tests/tests/python_pools.rs`.
pub(super) fn python_script() -> PathBuf {
    workspace_root().join("tests/programs/pools.py")
}

/// What the distribution's Python needs to run it: itself, and the two modules that are not in it. `None` where there is no such
/// Python.
pub(super) fn python() -> Option<(PathBuf, Vec<PathBuf>)> {
    const MODULES: &str = "import encodings.aliases, encodings.ascii, encodings.latin_1, encodings.utf_8, os, sys; \
                           print(*(m.__file__ for n, m in sys.modules.items() if n == 'os' or n.startswith('encodings')))";
    let program = fs::canonicalize("/usr/bin/python3").ok()?;
    let files = ask(Command::new(&program).args(["-S", "-E", "-c", MODULES]))?;
    Some((program, files.split_whitespace().map(PathBuf::from).collect()))
}

impl Program {
    /// Compiles it.
    pub(super) fn build(&self, folder: &Path) -> Result<PathBuf> {
        let program = folder.join(self.name);
        run(Command::new(self.compiler)
            .args(self.flags)
            .arg("-o")
            .arg(&program)
            .arg(self.source()))?;
        Ok(program)
    }

    /// The path of its source, as its debug information has it.
    pub(super) fn source(&self) -> PathBuf {
        workspace_root().join("tests/programs").join(self.source)
    }

    /// The number of the line that leaks.
    pub(super) fn leaking_line(&self) -> Result<u64> {
        let text = fs::read_to_string(self.source())?;
        let lines = text.lines().zip(1..).find(|(line, _)| line.contains("the leak"));
        let (_, number) = lines.with_context(|| format!("no \"the leak\" in {}", self.source))?;
        Ok(number)
    }
}

/// memtrace without its debug information, which is most of its size. The build is the tests' own.
pub(super) fn memtrace(folder: &Path) -> Result<PathBuf> {
    let binary = if let Some(given) = env::var_os(GIVEN) {
        given.into()
    } else {
        let target = workspace_root().join("target");
        run(cargo().args(["build", "--workspace", "--target-dir"]).arg(&target))?;
        target.join("debug/memtrace")
    };
    let stripped = folder.join("memtrace");
    run(Command::new("strip").arg("-o").arg(&stripped).arg(binary))?;
    Ok(stripped)
}
