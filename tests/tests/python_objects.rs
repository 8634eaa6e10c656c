//! Python's objects, which come out of pools of its own: that each is counted, once, where that is asked for, and
//! that memtrace says so where it can't be.
//!
//! The script says by `sys.getsizeof` and `sys.getallocatedblocks` what it made; `tracemalloc` says it in a run of its own.

use std::process::Command;

use anyhow::{Context as _, Result};
use memtrace_tests::{Document, Memtrace, Python, Running, Target, absent, cannot_trace, skip};
use rustix::process::Signal;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/objects.py");
/// How many the script makes of most kinds.
const OBJECTS: i64 = 10_000;
/// What Python is told by to take another allocator.
const ALLOCATOR: &str = "PYTHONMALLOC";
/// What the script's own loop may add or give back: lines, numbers, the buffers of its standard input. Blocks are exact but for
/// these.
const NOISE: Amount = (20_000, 60);

/// Bytes and blocks.
type Amount = (i64, i64);

#[test]
fn each_object_in_3_10() -> Result<()> {
    each_object((3, 10))
}

#[test]
fn each_object_in_3_11() -> Result<()> {
    each_object((3, 11))
}

#[test]
fn each_object_in_3_12() -> Result<()> {
    each_object((3, 12))
}

#[test]
fn each_object_in_3_13() -> Result<()> {
    each_object((3, 13))
}

/// Attached to a build that makes all objects by its allocator's functions: every one is seen, with the bytes that Python
/// says it has, and what is freed again is gone.
fn each_object(version: (u32, u32)) -> Result<()> {
    let Some(interpreter) = shared(Some(version)) else { return Ok(()) };
    let mut python = start(&interpreter, &[], None)?;
    let memtrace = attach(&python)?;
    let made = make(&mut python)?;
    let dropped = say(&mut python, "half", "dropped")?;
    let report = stop(memtrace)?;
    assert_eq!(report.at("/python_objects/by"), "probes");
    check(&report, "python", (made.0 + dropped.0, made.1 + dropped.1));
    assert_within(of_domain(&report, "heap"), (0, 0), NOISE);
    // The arenas that the objects lie in are the allocator's: in no figure but that of mappings, and known for what they are.
    let arenas = report.at("/mappings/stacks").as_array().context("no list")?;
    assert!(arenas.iter().any(|stack| stack["by_allocator"] == true));
    unharmed(&mut python)
}

/// With the hooks of a debugging allocator in front, the bytes are still those that Python asked for; the hooks add some
/// of their own.
#[test]
fn debugging_hooks() -> Result<()> {
    let Some(interpreter) = shared(None) else { return Ok(()) };
    let mut python = start(&interpreter, &[], Some("debug"))?;
    let memtrace = attach(&python)?;
    let made = make(&mut python)?;
    let report = stop(memtrace)?;
    check(&report, "python", made);
    unharmed(&mut python)
}

/// What has objects from malloc already needs no probes but those on malloc.
#[test]
fn objects_that_are_malloc_s() -> Result<()> {
    let Some(interpreter) = any() else { return Ok(()) };
    let mut python = start(&interpreter, &[], Some("malloc"))?;
    let memtrace = attach(&python)?;
    let made = make(&mut python)?;
    let report = stop(memtrace)?;
    assert_eq!(report.at("/python_objects/by"), "malloc");
    let (bytes, blocks) = of_domain(&report, "heap");
    // Python counts only the blocks of its own allocator.
    assert_within((bytes, 0), (made.0, 0), NOISE);
    assert!(blocks > 2 * OBJECTS, "{blocks}");
    assert_eq!(of_domain(&report, "python"), (0, 0));
    unharmed(&mut python)
}

/// `tracemalloc` sees every domain of Python's; so do the probes, each block once.
#[test]
fn both_domains_are_what_tracemalloc_sees() -> Result<()> {
    let Some(interpreter) = shared(None) else { return Ok(()) };
    let mut alone = start(&interpreter, &["tracemalloc"], None)?;
    alone.send(&format!("make {OBJECTS}\n"))?;
    let traced = numbers(&alone.expect("traced ")?)?[0];
    let mut python = start(&interpreter, &[], None)?;
    let memtrace = attach(&python)?;
    make(&mut python)?;
    let report = stop(memtrace)?;
    let (objects, others) = (of_domain(&report, "python").0, of_domain(&report, "heap").0);
    println!("tracemalloc: {traced} B; memtrace: {objects} B of objects, {others} B besides");
    assert_eq!(objects + others, report.number("/totals/net_bytes"));
    let difference = (objects + others - traced) as f64 / traced as f64;
    assert!(difference.abs() < 0.005, "{:.2} %", difference * 100.0);
    Ok(())
}

/// By default a process that runs is not slowed down, and the report says what is missing and how to get it.
#[test]
fn by_default_a_running_process_keeps_its_speed() -> Result<()> {
    let Some(interpreter) = any() else { return Ok(()) };
    let mut python = start(&interpreter, &[], None)?;
    let mut memtrace = Memtrace::attach(python.pid()).args("-i 1h -n 1").start()?;
    memtrace.attached()?;
    make(&mut python)?;
    memtrace.signal(Signal::INT)?;
    let finished = memtrace.finish()?;
    finished.expect_code(0);
    let told =
        "objects up to 512 bytes are counted by size class; --python-objects exact counts each";
    assert!(finished.stdout.contains(told), "{}", finished.stdout);
    unharmed(&mut python)
}

/// A build whose compiler had a profile makes objects without calling the functions: refused, with what to do, and the
/// process goes on.
#[test]
fn builds_with_copies_of_the_allocator_are_refused() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    let Some(interpreter) = Python::installed()
        .into_iter()
        .filter(|one| one.version >= (3, 10))
        .find(|one| !one.is_shared)
    else {
        absent("a Python with its interpreter in the program");
        return Ok(());
    };
    let mut python = start(&interpreter, &[], None)?;
    let finished =
        Memtrace::attach(python.pid()).args("-i 1s -n 1 --python-objects exact").run()?;
    if finished.code() == Some(0) {
        absent("a Python whose allocator was copied into its callers");
        return Ok(());
    }
    assert_eq!(finished.code(), Some(1), "{}", finished.stderr);
    for word in ["--python-objects exact", "PYTHONMALLOC=malloc", "--python-objects classes"] {
        assert!(finished.stderr.contains(word), "no {word} in: {}", finished.stderr);
    }
    unharmed(&mut python)
}

/// What is not Python has no objects to count.
#[test]
fn other_programs_are_refused() -> Result<()> {
    if cannot_trace(&["cat"]) {
        return Ok(());
    }
    let cat = Target::start(&mut Command::new("cat"))?;
    let finished = Memtrace::attach(cat.pid()).args("--python-objects exact").run()?;
    assert_eq!(finished.code(), Some(1));
    assert!(finished.stderr.contains("no CPython interpreter"), "{}", finished.stderr);
    Ok(())
}

/// Under `exec` each object is counted by default, in any build, as a block of malloc.
#[test]
fn each_object_of_a_command() -> Result<()> {
    let Some(interpreter) = any() else { return Ok(()) };
    let (without, _) = command(&interpreter, "", None, 0)?;
    let (with, line) = command(&interpreter, "", None, OBJECTS)?;
    assert!(line.ends_with(" malloc"), "{line}");
    assert_eq!(with.at("/python_objects/by"), "malloc");
    let grown = with.number("/totals/net_bytes") - without.number("/totals/net_bytes");
    let made = numbers(&line)?[0];
    println!("Python {made} B, memtrace {grown} B");
    assert_within((grown, 0), (made, 0), NOISE);
    assert_eq!(of_domain(&with, "python"), (0, 0));
    Ok(())
}

/// The environment stays as it is with `--python-objects off`, and where somebody has chosen an allocator.
#[test]
fn a_command_s_environment_is_respected() -> Result<()> {
    let Some(interpreter) = any() else { return Ok(()) };
    let (off, line) = command(&interpreter, "--python-objects off", None, OBJECTS)?;
    assert!(line.ends_with(" None"), "{line}");
    assert_eq!(off.at("/python_objects/counted"), false);
    let made = numbers(&line)?[0];
    assert!(off.number("/totals/net_bytes") < made, "small objects can't be among them");
    let (own, line) = command(&interpreter, "", Some("pymalloc"), OBJECTS)?;
    assert!(line.ends_with(" pymalloc"), "{line}");
    let note = own.at("/python_objects/note").as_str().context("no note")?;
    assert!(note.contains("PYTHONMALLOC is set to pymalloc already"), "{note}");
    Ok(())
}

/// A script that its first line makes Python's.
#[test]
fn a_script_is_a_command_of_python_s() -> Result<()> {
    let Some(interpreter) = any() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("script");
    let text = "import os; print('it is', os.environ.get('PYTHONMALLOC'))";
    std::fs::write(&script, format!("#!{}\n{text}\n", interpreter.path.display()))?;
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let finished =
        Memtrace::new(["exec", "--as-root", "--"]).arg(&script).env(ALLOCATOR, "").run()?;
    assert_eq!(finished.expect_code(0).stdout, "it is malloc\n");
    assert!(finished.stderr.contains("each is counted, as a block of malloc"));
    Ok(())
}

/// An interpreter that is a library, of this version; says so where there is none.
fn shared(version: Option<(u32, u32)>) -> Option<Python> {
    if cannot_trace(&[]) {
        return None;
    }
    let fits = |one: &Python| version.is_none_or(|version| one.version == version);
    let found = Python::installed()
        .into_iter()
        .filter(|one| one.is_shared && one.version >= (3, 10))
        .find(fits);
    if found.is_none() {
        absent(&format!("a Python {version:?} with a shared libpython"));
    }
    found
}

/// Any interpreter; first, one that is in the program itself.
fn any() -> Option<Python> {
    if cannot_trace(&[]) {
        return None;
    }
    let found = Python::installed()
        .into_iter()
        .filter(|one| one.version >= (3, 10))
        .min_by_key(|one| one.is_shared);
    if found.is_none() {
        skip("no Python from 3.10 on is installed");
    }
    found
}

fn start(python: &Python, arguments: &[&str], allocator: Option<&str>) -> Result<Target> {
    let mut command = Command::new(&python.path);
    command.arg(SCRIPT).args(arguments).env_remove(ALLOCATOR);
    command.envs(allocator.map(|value| (ALLOCATOR, value)));
    let mut target = Target::start(&mut command)?;
    target.expect("ready")?;
    Ok(target)
}

fn attach(python: &Target) -> Result<Running> {
    let memtrace =
        Memtrace::attach(python.pid()).args("-i 1h -n 1 --python-objects exact --format json");
    let mut memtrace = memtrace.start()?;
    memtrace.attached()?;
    Ok(memtrace)
}

fn stop(memtrace: Running) -> Result<Document> {
    memtrace.signal(Signal::INT)?;
    memtrace.finish()?.document()
}

/// Runs the script under `exec`. Its report, and the line that it printed.
fn command(
    python: &Python,
    options: &str,
    allocator: Option<&str>,
    objects: i64,
) -> Result<(Document, String)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let memtrace = Memtrace::new(["exec", "--as-root", "--format", "json", "-o"])
        .arg(&file)
        .args(options)
        .arg("--")
        .arg(&python.path)
        .words([SCRIPT, "once", &objects.to_string()])
        .env(ALLOCATOR, allocator.unwrap_or_default());
    // An empty variable is none for Python, and is not shown as one.
    let finished = memtrace.run()?;
    finished.expect_code(0);
    let line = finished.stdout.lines().last().context("it printed nothing")?.to_owned();
    Ok((Document::read(&file)?, line))
}

fn make(python: &mut Target) -> Result<Amount> {
    say(python, &format!("make {OBJECTS}"), "made ")
}

/// Has the script do something, and say what that changed.
fn say(python: &mut Target, word: &str, answer: &str) -> Result<Amount> {
    python.send(&format!("{word}\n"))?;
    let line = python.expect(answer)?;
    let [bytes, blocks] = numbers(&line)?[..] else { anyhow::bail!("{line:?}") };
    Ok((bytes, blocks))
}

fn numbers(line: &str) -> Result<Vec<i64>> {
    let words = line.split_whitespace().skip(1);
    let numbers: Vec<_> = words.map_while(|word| word.parse().ok()).collect();
    anyhow::ensure!(!numbers.is_empty(), "no number in {line:?}");
    Ok(numbers)
}

/// Growth of a domain.
fn of_domain(report: &Document, domain: &str) -> Amount {
    let stacks = report.at("/stacks").as_array().into_iter().flatten();
    let own = stacks.filter(|stack| stack["domain"] == domain);
    own.fold((0, 0), |(bytes, blocks), stack| {
        let number = |field: &str| stack[field].as_i64().unwrap_or_default();
        (bytes + number("growth_bytes"), blocks + number("growth_blocks"))
    })
}

/// Checks growth against what Python says, and that nothing was lost.
#[track_caller]
fn check(report: &Document, domain: &str, expected: Amount) {
    report.assert_ledger_closes();
    let grown = of_domain(report, domain);
    println!("Python: {expected:?}, memtrace: {grown:?}");
    assert!(expected.0 > 1_000_000 && expected.1 > OBJECTS, "too little to compare: {expected:?}");
    assert_within(grown, expected, NOISE);
}

#[track_caller]
fn assert_within(found: Amount, expected: Amount, noise: Amount) {
    let off = ((found.0 - expected.0).abs(), (found.1 - expected.1).abs());
    assert!(off.0 <= noise.0 && off.1 <= noise.1, "{found:?} in place of {expected:?}");
}

/// Whether the script still works.
fn unharmed(python: &mut Target) -> Result<()> {
    python.send("check\n")?;
    python.expect("checked ")?;
    assert!(python.wait()?.success());
    Ok(())
}
