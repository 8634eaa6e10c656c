//! Frames of Python's: the same as Python's own account of each place, in every interpreter that is installed.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use memtrace_tests::{Document, Memtrace, Program, Python, SYSTEM_PYTHON, cannot_trace};
use serde_json::Value;

/// What `stacks.py` allocates at its places has at least so many bytes, and nothing else does.
const SMALLEST: i64 = 1_000_000;

/// Frames of Python's that are kept of a stack (`MAX_PYTHON_FRAMES`).
const MOST_FRAMES: usize = 256;

/// File, line, name.
type Frames = Vec<(String, i64, String)>;

/// At each kind of place that a program in Python can allocate at.
#[test]
fn every_kind_of_place() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    for python in Python::all()? {
        let expected = compare(&python, &[])?;
        println!(
            "{:?} {}: {expected} places, 0 differences",
            python.version,
            python.path.display()
        );
    }
    Ok(())
}

/// Names come with the first frame, whatever becomes of the code; lines, where there are too many of them, from the process.
#[test]
fn code_with_a_line_table_that_is_too_long_to_be_copied() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/long_code.py");
    // The same in all of them; one will do.
    let python = Python::all()?.swap_remove(0);
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report");
    let finished = Memtrace::new(["exec", "--format", "json", "--min-size", "1000000", "-o"])
        .arg(&report)
        .args("--")
        .arg(&python.path)
        .arg("-I")
        .arg(&script)
        .run()?;
    finished.expect_code(0);
    let innermost: Vec<_> = found(&Document::read(&report)?)
        .into_iter()
        .filter_map(|(frames, bytes)| Some((bytes / SMALLEST, frames.into_iter().next()?)))
        .collect();
    let of = |millions| innermost.iter().find(|it| it.0 == millions).map(|it| it.1.clone());
    let module = "<module>".to_owned();
    assert_eq!(of(1), Some(("kept".to_owned(), 2000, module)), "{python:?}: {innermost:?}");
    let (file, line, name) = of(2).context("the larger block")?;
    assert_eq!((file.as_str(), name.as_str()), ("gone", "<module>"), "{python:?}");
    assert!(
        line == 2000 || line == 0,
        "{python:?}: line {line}, which is neither right nor left out"
    );
    Ok(())
}

fn compare(python: &Python, more: &[&str]) -> Result<usize> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/stacks.py");
    let library = Program::compile(
        "python_native.c",
        &["-O2", "-shared", "-fPIC", "-Wl,--unresolved-symbols=ignore-all"],
    )?;
    let folder = tempfile::tempdir()?;
    let (places, report) = (folder.path().join("places"), folder.path().join("report"));
    let finished = Memtrace::new(["exec", "--format", "json", "--min-size", "1000000", "-o"])
        .arg(&report)
        .args("--")
        .arg(&python.path)
        .words(["-I", "-X", "utf8"])
        .arg(&script)
        .arg(&places)
        .arg(library.path())
        .words(more)
        .run()?;
    finished.expect_code(0);
    let expected = expected(&fs::read_to_string(&places)?)?;
    let found = found(&Document::read(&report)?);
    assert!(expected.len() > 50, "{} places", expected.len());
    for (frames, (cases, bytes)) in &expected {
        let got = found.get(frames).copied().unwrap_or(0);
        assert_eq!(
            got, *bytes,
            "{python:?}: {cases:?}: {frames:#?}\nbut these were found:\n{found:#?}"
        );
    }
    for (frames, bytes) in &found {
        assert!(expected.contains_key(frames), "{python:?}: {bytes} bytes at {frames:#?}");
    }
    Ok(expected.len())
}

/// What Python says: for each stack its cases, and how many bytes were allocated there.
fn expected(text: &str) -> Result<BTreeMap<Frames, (Vec<String>, i64)>> {
    let mut all = BTreeMap::<Frames, (Vec<String>, i64)>::new();
    for line in text.lines() {
        let place: Value = serde_json::from_str(line)?;
        let frames = place["frames"].as_array().context("no frames")?;
        let frames: Frames = frames
            .iter()
            .take(MOST_FRAMES)
            .map(|frame| (text_of(&frame[0]), frame[1].as_i64().unwrap_or(0), text_of(&frame[2])))
            .collect();
        let entry = all.entry(frames).or_default();
        entry.0.push(text_of(&place["case"]));
        entry.1 += place["size"].as_i64().context("no size")?;
    }
    Ok(all)
}

/// What memtrace says of the same.
fn found(report: &Document) -> BTreeMap<Frames, i64> {
    let mut all = BTreeMap::new();
    for stack in report.stacks() {
        let bytes = stack.number("alloc_bytes");
        let frames = stack.python_frames();
        if bytes >= SMALLEST {
            *all.entry(frames).or_default() += bytes;
        }
    }
    all
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// One chain: the line of Python, the C function that it calls, the library's own that allocates.
#[test]
fn a_line_and_the_native_code_that_it_calls() -> Result<()> {
    const BYTES: i64 = 3_000_000;
    if cannot_trace(&[]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let (script, file) = (folder.path().join("query.py"), folder.path().join("report"));
    let lines = [
        "import sqlite3",
        "db = sqlite3.connect(':memory:')",
        "db.execute('CREATE TABLE t (x)')",
        "def fill():",
        "    db.execute('INSERT INTO t VALUES (randomblob(3000000))')",
        "fill()",
    ];
    fs::write(&script, lines.join("\n"))?;
    let finished = Memtrace::new(["exec", "--format", "json", "--min-size", "1000000", "-o"])
        .arg(&file)
        .args("--")
        .arg(SYSTEM_PYTHON)
        .arg(&script)
        .run()?;
    finished.expect_code(0);
    let report = Document::read(&file)?;
    let stack = report.stacks().into_iter().find(|stack| stack.number("alloc_bytes") >= BYTES);
    let stack = stack.context("no stack has the blob")?;
    let expected = [(5, "fill"), (6, "<module>")];
    let expected =
        expected.map(|(line, name)| (script.to_string_lossy().into_owned(), line, name.to_owned()));
    assert_eq!(stack.python_frames(), expected);
    // What lies inside of the line: first the library, then the module that calls it.
    let modules: Vec<_> =
        stack.frames().iter().filter_map(|frame| frame.module.map(str::to_owned)).collect();
    let last = |name: &str| modules.iter().rposition(|module| module.contains(name));
    let (library, binding) = (last("/libsqlite3"), last("_sqlite3."));
    assert!(library.is_some() && library < binding, "{modules:#?}");
    assert_eq!(stack.unwind(), "complete");
    Ok(())
}
