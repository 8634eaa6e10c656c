//! The leaking programs once more, each on another allocator: preloaded, linked, and static. Under `exec` the
//! books have to close to the last block: an allocator whose ways are not all known shows at once,
//! by frees of blocks that were never seen.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{Document, Memtrace, Program, cannot_trace, skip};

const BLOCKS: i64 = 100;
const BYTES: i64 = 100_000;
const ITERATIONS: usize = 6;
/// Rounds of the programs that try operators.
const ROUNDS: i64 = 1000;

const JEMALLOC: &str = "libjemalloc.so.2";
const TCMALLOC: &str = "libtcmalloc_minimal.so.4";
const MIMALLOC: &str = "libmimalloc.so.2";

const C_FLAGS: [&str; 3] = ["-O1", "-fno-omit-frame-pointer", "-fno-builtin"];
const CPP_FLAGS: [&str; 3] = ["-O1", "-fno-omit-frame-pointer", "-std=c++17"];
/// As `musl-gcc` calls the compiler.
const MUSL: [&str; 2] = ["-specs", "/usr/lib/x86_64-linux-musl/musl-gcc.specs"];

#[test]
fn jemalloc_preloaded() -> Result<()> {
    preloaded(JEMALLOC)
}

#[test]
fn jemalloc_linked() -> Result<()> {
    linked(JEMALLOC)
}

#[test]
fn tcmalloc_preloaded() -> Result<()> {
    preloaded(TCMALLOC)
}

#[test]
fn tcmalloc_linked() -> Result<()> {
    linked(TCMALLOC)
}

#[test]
fn mimalloc_preloaded() -> Result<()> {
    preloaded(MIMALLOC)
}

#[test]
fn mimalloc_linked() -> Result<()> {
    linked(MIMALLOC)
}

#[test]
fn musl() -> Result<()> {
    if cannot_trace(&["musl-gcc"]) {
        return Ok(());
    }
    leaks(&c(&MUSL)?, None)
}

#[test]
fn static_musl() -> Result<()> {
    if cannot_trace(&["musl-gcc"]) {
        return Ok(());
    }
    leaks(&c(&[&MUSL[..], &["-static"]].concat())?, None)
}

/// Nothing tells where its `malloc` is.
#[test]
fn stripped_static_musl_is_refused() -> Result<()> {
    if cannot_trace(&["musl-gcc"]) {
        return Ok(());
    }
    let program = c(&[&MUSL[..], &["-static", "-s"]].concat())?;
    let finished = Memtrace::new(["exec", "--"]).arg(program.path()).arg("1").run()?;
    finished.expect_code(125);
    let reason = "statically linked and has no symbols for its allocator";
    assert!(finished.stderr.contains(reason), "{}", finished.stderr);
    Ok(())
}

#[test]
fn static_glibc() -> Result<()> {
    if cannot_trace(&["cc", "c++"]) {
        return Ok(());
    }
    leaks(&c(&["-static"])?, None)?;
    leaks(&cpp(&["-static"])?, None)?;
    leaks(&cpp(&["-static-pie"])?, None)
}

/// `_rjem_malloc` and the like, in the program itself, beside the C library's.
#[test]
fn jemalloc_in_a_rust_program() -> Result<()> {
    if cannot_trace(&["cargo", "cc", "make"]) {
        return Ok(());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/rust-jemalloc");
    let Some(program) = rust_jemalloc(&folder)? else { return Ok(()) };
    let source = folder.join("src/main.rs");
    let text = std::fs::read_to_string(&source)?;
    let line = text.lines().position(|line| line.contains("the leak")).context("no leak")? + 1;
    let report = traced(&program, &ITERATIONS.to_string(), None)?;
    assert_leak(&report, &source, line as u64)
}

/// Operators of every signature, and some that fail: each block is counted once, however it comes and goes,
/// and what `operator new` leaves behind when it throws hides nothing that follows.
#[test]
fn operators_of_jemalloc() -> Result<()> {
    // One exception each round, for the one that throws; its memory is a block like any other.
    operators(Some(JEMALLOC), 13, 1)
}

#[test]
fn operators_of_tcmalloc() -> Result<()> {
    operators(Some(TCMALLOC), 13, 1)
}

/// libstdc++'s own go by `malloc`, and its `nothrow` form catches an exception of the other's.
#[test]
fn operators_of_libstdcxx() -> Result<()> {
    operators(None, 14, 2)
}

/// A program's own: blocks of `operator new` are partly `malloc`'s, and go back by two ways.
#[test]
fn operators_that_use_malloc_at_times() -> Result<()> {
    if cannot_trace(&["c++"]) {
        return Ok(());
    }
    let program =
        Program::compile("own_allocator.cc", &[&CPP_FLAGS[..], &["-fno-builtin"]].concat())?;
    let idle = traced(program.path(), "0", None)?;
    let report = traced(program.path(), &ROUNDS.to_string(), None)?;
    report.assert_ledger_closes();
    let more = |pointer| report.number(pointer) - idle.number(pointer);
    assert_eq!(more("/ledger/allocs/recorded"), 6 * ROUNDS);
    assert_eq!(more("/ledger/frees/recorded"), 5 * ROUNDS);
    assert_eq!(more("/totals/net_bytes"), 24 * ROUNDS);
    Ok(())
}

/// Not of mimalloc, whose C build ends the program where `operator new` should throw.
fn operators(library: Option<&str>, blocks: i64, failures: i64) -> Result<()> {
    if cannot_trace(&["c++"]) {
        return Ok(());
    }
    let library = library.map(library_path);
    if library == Some(None) {
        return Ok(());
    }
    let library = library.flatten();
    let flags = [&CPP_FLAGS[..], &["-fsized-deallocation"]].concat();
    let program = Program::compile("operators.cc", &flags)?;
    let idle = traced(program.path(), "0", library.as_deref())?;
    let report = traced(program.path(), &ROUNDS.to_string(), library.as_deref())?;
    report.assert_ledger_closes();
    let more = |pointer| report.number(pointer) - idle.number(pointer);
    assert_eq!(more("/ledger/allocs/recorded"), blocks * ROUNDS);
    assert_eq!(more("/ledger/frees/recorded"), (blocks - 1) * ROUNDS);
    assert_eq!(more("/ledger/allocs/failed"), failures * ROUNDS);
    let (ask, _) = program.line_of("return ::operator new(size);")?;
    let kept: Vec<_> = report
        .stacks_at(program.source(), ask)
        .iter()
        .map(|stack| (stack.growth_bytes(), stack.number("growth_blocks")))
        .filter(|growth| *growth != (0, 0))
        .collect();
    assert_eq!(kept, [(1000 * ROUNDS, ROUNDS)]);
    Ok(())
}

fn preloaded(library: &str) -> Result<()> {
    if cannot_trace(&["cc", "c++"]) {
        return Ok(());
    }
    let Some(path) = library_path(library) else { return Ok(()) };
    leaks(&c(&[])?, Some(&path))?;
    leaks(&cpp(&[])?, Some(&path))
}

fn linked(library: &str) -> Result<()> {
    if cannot_trace(&["cc", "c++"]) || library_path(library).is_none() {
        return Ok(());
    }
    let name = format!("-l:{library}");
    // Nothing asks for what only replaces other libraries' functions.
    let flags = ["-Wl,--no-as-needed", name.as_str()];
    leaks(&c(&flags)?, None)?;
    leaks(&cpp(&flags)?, None)
}

fn c(flags: &[&str]) -> Result<Program> {
    Program::compile("leak.c", &[&C_FLAGS[..], flags].concat())
}

fn cpp(flags: &[&str]) -> Result<Program> {
    Program::compile("leak.cc", &[&CPP_FLAGS[..], flags].concat())
}

fn leaks(program: &Program, preload: Option<&Path>) -> Result<()> {
    let report = traced(program.path(), &ITERATIONS.to_string(), preload)?;
    let (line, _) = program.line_of("the leak")?;
    assert_leak(&report, program.source(), line)
}

fn assert_leak(report: &Document, source: &Path, line: u64) -> Result<()> {
    assert_eq!(report.whole_iterations(), ITERATIONS);
    assert_eq!(report.number("/target/exit_status"), 0);
    let leaks = report.stacks_at(source, line);
    ensure!(leaks.len() == 1, "{} stacks at line {line}", leaks.len());
    for (index, step) in leaks[0].net()[..ITERATIONS].iter().enumerate() {
        assert_eq!(*step, (BYTES, BLOCKS), "iteration {}", index + 1);
    }
    assert_eq!(leaks[0].verdict(), "growing");
    report.assert_ledger_closes();
    Ok(())
}

/// The report of a whole run. The library is preloaded into memtrace, too, which is none the wiser.
fn traced(program: &Path, argument: &str, preload: Option<&Path>) -> Result<Document> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let mut memtrace =
        Memtrace::new(["exec", "--mark-fn", "mark_iteration", "--format", "json", "-o"])
            .arg(&file)
            .arg("--")
            .arg(program)
            .arg(argument);
    if let Some(library) = preload {
        memtrace = memtrace.env("LD_PRELOAD", &library.to_string_lossy());
    }
    memtrace.run()?.expect_code(0);
    Document::read(&file)
}

/// Where Debian and Fedora keep their libraries. Says so where this one isn't there.
fn library_path(name: &str) -> Option<PathBuf> {
    let found = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists());
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found
}

/// `None` where the crate can't be had, having said so.
fn rust_jemalloc(folder: &Path) -> Result<Option<PathBuf>> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rust-jemalloc");
    let made = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", "-C force-frame-pointers=yes")
        .output()?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        // Without a network there is no crate; all else is the test's fault.
        let offline = ["download", "network", "resolve host", "registry"];
        ensure!(offline.iter().any(|sign| said.contains(sign)), "{said}");
        skip(&format!("the crate tikv-jemallocator can't be had: {said}"));
        return Ok(None);
    }
    Ok(Some(target.join("release/rust-jemalloc")))
}
