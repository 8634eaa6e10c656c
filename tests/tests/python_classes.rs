//! Python's objects by size class: exactly as many as Python's allocator itself says, whenever the target stands still.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::PathBuf,
};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{
    ControlFifos, Document, Memtrace, Python, Running, Target, absent, cannot_trace, skip,
};
use rustix::process::Signal;
use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/classes.py");
/// What Python is told by to take another allocator.
const ALLOCATOR: &str = "PYTHONMALLOC";

/// Blocks in use, by the bytes of a block.
type Classes = BTreeMap<i64, i64>;

#[test]
fn exact_in_the_distribution_s() -> Result<()> {
    exact(|python| !python.is_shared)
}

#[test]
fn exact_before_3_10() -> Result<()> {
    exact(|python| python.version >= (3, 7) && python.version < (3, 10))
}

#[test]
fn exact_in_3_10() -> Result<()> {
    exact(|python| python.version == (3, 10))
}

#[test]
fn exact_in_3_11() -> Result<()> {
    exact(|python| python.is_shared && python.version == (3, 11))
}

#[test]
fn exact_in_3_12() -> Result<()> {
    exact(|python| python.version == (3, 12))
}

#[test]
fn exact_in_3_13() -> Result<()> {
    exact(|python| python.version == (3, 13))
}

/// Attached: what lives at each mark, and growth, to the block; with arenas that come and go, and an array of them that moves.
fn exact(fits: impl Fn(&Python) -> bool) -> Result<()> {
    let Some(python) = python(fits) else { return Ok(()) };
    let mut script = Script::start(&python, &["few", "many", "less"], None)?;
    let (memtrace, mut fifos) = script.attach("-w 1 -n 2 --format json")?;
    let mut said = vec![script.said.clone()];
    for _ in 0..3 {
        script.step()?;
        fifos.say("snapshot")?;
        said.push(script.said.clone());
    }
    let report = memtrace.finish()?.document()?;
    assert_eq!(report.at("/python_objects/by"), "classes");
    assert_eq!(report.number("/python_classes_read/unread_pools"), 0);
    assert_eq!(report.number("/python_classes_read/from"), 1);
    assert_eq!(at_mark(&report, 0).as_ref(), Some(&said[1]));
    // Those between need not be read, where reading would take too much of the time.
    assert!(at_mark(&report, 1).is_none_or(|classes| classes == said[2]));
    assert_eq!(at_mark(&report, 2).as_ref(), Some(&said[3]));
    assert_eq!(of(&report, "growth_blocks"), growth(&said[1], &said[3]));
    assert!(said[1][&32] > 5_000 && said[2][&144] > 300_000, "too little to compare: {said:?}");
    script.ends_well()
}

/// Without warm-up growth is since the attach: what was there before is none. Nor is it in the heap's figures.
#[test]
fn growth_since_the_attach() -> Result<()> {
    let Some(python) = any() else { return Ok(()) };
    let mut script = Script::start(&python, &["many"], None)?;
    let before = script.said.clone();
    let (memtrace, mut fifos) = script.attach("-n 1 --format json")?;
    script.step()?;
    fifos.say("snapshot")?;
    let report = memtrace.finish()?.document()?;
    let grown = of(&report, "growth_blocks");
    assert_eq!(grown, growth(&before, &script.said));
    assert!((300_000..301_000).contains(&grown[&144]), "{grown:?}");
    assert!(report.number("/totals/net_bytes") < 10_000_000, "only the list is malloc's");
    script.ends_well()
}

/// What a person sees of it by default, and how to learn the lines.
#[test]
fn it_is_the_default_of_an_attach() -> Result<()> {
    let Some(python) = any() else { return Ok(()) };
    for (options, expected) in [
        ("--debug", "[DEBUG] Python's objects by size class: +4"),
        ("", "; most in those of up to 144 bytes: +41.2 MiB in 300"),
    ] {
        let mut script = Script::start(&python, &["many"], None)?;
        let (memtrace, mut fifos) = script.attach(&format!("-n 1 {options}"))?;
        script.step()?;
        fifos.say("snapshot")?;
        let seen = memtrace.finish()?.stdout;
        let flag = "are counted by size class; --python-objects exact counts each";
        for text in [expected, flag] {
            assert!(seen.contains(text), "no {text:?} in: {seen}");
        }
        if !options.is_empty() {
            let is_row = |line: &str| {
                line.starts_with("  +41.2 MiB: 300") && line.ends_with(" of up to 144 bytes")
            };
            assert!(seen.lines().any(is_row), "{seen}");
        }
        script.ends_well()?;
    }
    Ok(())
}

/// A command that starts as something else than Python: its pools are found when they are there.
#[test]
fn of_a_command() -> Result<()> {
    let Some(python) = any() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let mut fifos = ControlFifos::make()?;
    let (report, words) = (folder.path().join("report"), folder.path().join("stats"));
    let line = format!("exec {} {SCRIPT} many 2>{}", python.path.display(), words.display());
    let mut target =
        Memtrace::new(["exec", "--as-root", "--python-objects", "classes", "-n", "1", "--control"])
            .arg(fifos.argument())
            .args("--format json -o")
            .arg(&report)
            .words(["--", "sh", "-c", &line])
            .env(ALLOCATOR, "")
            .into_target()?;
    target.expect("ready")?;
    fifos.say("snapshot")?;
    memtrace_tests::until("there is a report", || Document::read(&report).is_ok())?;
    let report = Document::read(&report)?;
    let said = last_classes(&fs::read_to_string(&words)?)?;
    assert_eq!(of(&report, "growth_blocks"), said);
    Ok(())
}

/// Hooks ask the allocator for more than Python did: what it has in use is still right, and that it's more is said.
#[test]
fn debugging_hooks_are_told() -> Result<()> {
    let Some(python) = any() else { return Ok(()) };
    let mut script = Script::start(&python, &["few"], Some("debug"))?;
    let before = script.said.clone();
    let (memtrace, mut fifos) = script.attach("-n 1 --format json")?;
    script.step()?;
    fifos.say("snapshot")?;
    let report = memtrace.finish()?.document()?;
    assert_eq!(of(&report, "growth_blocks"), growth(&before, &script.said));
    let note = report.at("/python_objects/note").as_str().context("no note")?;
    assert!(note.contains("PYTHONMALLOC=debug"), "{note}");
    script.ends_well()
}

/// With another allocator there are no pools; which one it is decides on what the report says.
#[test]
fn objects_of_malloc_s_are_each_counted() -> Result<()> {
    let Some(python) = any() else { return Ok(()) };
    without_pools(&python, "malloc", Some("malloc"), "each is counted, as a block of malloc")
}

#[test]
fn mimalloc_has_no_pools() -> Result<()> {
    let Some(python) = python(|it| it.version >= (3, 13)) else { return Ok(()) };
    without_pools(&python, "mimalloc", None, "pools as pymalloc has them were not found")
}

fn without_pools(python: &Python, allocator: &str, by: Option<&str>, note: &str) -> Result<()> {
    let mut script = Script::start(python, &["few"], Some(allocator))?;
    let (memtrace, mut fifos) = script.attach("-n 1 --format json")?;
    script.step()?;
    fifos.say("snapshot")?;
    let report = memtrace.finish()?.document()?;
    assert!(report.at("/python_classes").is_null());
    assert_eq!(report.at("/python_objects/by").as_str(), by);
    let told = report.at("/python_objects/note").as_str().context("no note")?;
    assert!(told.contains(note), "{told}");
    script.ends_well()
}

/// Interpreters with a GIL of their own have an allocator of their own as well: not counted, and said.
#[test]
fn other_interpreters_are_told() -> Result<()> {
    let Some(python) = python(|it| it.version >= (3, 12) && it.version < (3, 14)) else {
        return Ok(());
    };
    let script = "import os; import _xxsubinterpreters as it";
    let script =
        if python.version == (3, 12) { script } else { "import os; import _interpreters as it" };
    let script = format!("{script}\nkept = it.create()\nprint('ready', flush=True)\nos.read(0, 1)");
    let mut target = Target::start(&mut python.command(&["-c", &script]))?;
    target.expect("ready")?;
    let finished = Memtrace::attach(target.pid()).args("-i 200ms -n 1").run()?;
    finished.expect_code(0);
    let told =
        "but not those of interpreters with a GIL of their own (seen beside the main one: 1)";
    assert!(finished.stdout.contains(told), "{}", finished.stdout);
    target.send("\n")?;
    assert!(target.wait()?.success());
    Ok(())
}

/// What is not Python has no objects, by class or otherwise.
#[test]
fn other_programs_are_refused() -> Result<()> {
    if cannot_trace(&["cat"]) {
        return Ok(());
    }
    let cat = Target::start(&mut std::process::Command::new("cat"))?;
    let finished = Memtrace::attach(cat.pid()).args("--python-objects classes").run()?;
    assert_eq!(finished.code(), Some(1));
    let refusal = "--python-objects classes: process";
    assert!(finished.stderr.contains(refusal), "{}", finished.stderr);
    Ok(())
}

/// The script, standing still.
struct Script {
    target: Target,
    folder: TempDir,
    /// What its allocator has in use.
    said: Classes,
}

impl Script {
    fn start(python: &Python, steps: &[&str], allocator: Option<&str>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = python.command(&[SCRIPT]);
        command.args(steps).envs(allocator.map(|value| (ALLOCATOR, value)));
        command.stderr(File::create(folder.path().join("stats"))?);
        let target = Target::start(&mut command)?;
        let mut script = Self { target, folder, said: Classes::new() };
        script.listen()?;
        Ok(script)
    }

    fn listen(&mut self) -> Result<()> {
        self.target.expect("ready")?;
        let path: PathBuf = self.folder.path().join("stats");
        // There is nothing to say of another allocator's.
        self.said = last_classes(&fs::read_to_string(path)?).unwrap_or_default();
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        self.target.signal(Signal::USR1)?;
        self.listen()
    }

    fn attach(&self, options: &str) -> Result<(Running, ControlFifos)> {
        let fifos = ControlFifos::make()?;
        let memtrace = Memtrace::attach(self.target.pid())
            .arg("--control")
            .arg(fifos.argument())
            .args(options);
        let mut memtrace = memtrace.start()?;
        memtrace.attached()?;
        Ok((memtrace, fifos))
    }

    fn ends_well(mut self) -> Result<()> {
        self.target.signal(Signal::USR1)?;
        ensure!(self.target.wait()?.success(), "it was harmed");
        Ok(())
    }
}

/// Any interpreter; first, one that is in the program itself.
fn any() -> Option<Python> {
    python(|_| true)
}

/// An interpreter; says so where there is none.
fn python(fits: impl Fn(&Python) -> bool) -> Option<Python> {
    if cannot_trace(&[]) {
        return None;
    }
    let known: Vec<_> = Python::installed().into_iter().filter(|it| it.version >= (3, 7)).collect();
    if known.is_empty() {
        skip("no Python from 3.7 on is installed");
        return None;
    }
    let found = known.into_iter().filter(fits).min_by_key(|it| it.is_shared);
    if found.is_none() {
        absent("a Python that this is about");
    }
    found
}

/// The last table of classes that `sys._debugmallocstats` wrote: class, bytes of a block, pools, blocks in use, blocks that
/// are not.
fn last_classes(text: &str) -> Result<Classes> {
    let at = text.rfind("blocks in use").context("it said nothing")?;
    let mut classes = Classes::new();
    for line in text[at..].lines() {
        let numbers: Vec<i64> = line.split_whitespace().map_while(|it| it.parse().ok()).collect();
        if let [_, size, _, used, _] = numbers[..] {
            classes.insert(size, used);
        }
    }
    classes.retain(|_, used| *used > 0);
    Ok(classes)
}

fn growth(from: &Classes, to: &Classes) -> Classes {
    let mut growth = to.clone();
    for (size, blocks) in from {
        *growth.entry(*size).or_default() -= blocks;
    }
    growth.retain(|_, blocks| *blocks != 0);
    growth
}

/// A field of all classes that have something there.
fn of(report: &Document, field: &str) -> Classes {
    by_class(report, |class| class[field].as_i64())
}

/// What lived at the end of an iteration; `None` where it was not read.
fn at_mark(report: &Document, iteration: usize) -> Option<Classes> {
    let live =
        |class: &serde_json::Value| class["per_iteration"][iteration]["live_blocks"].as_i64();
    let any = report.at("/python_classes").as_array()?.iter().any(|class| live(class).is_some());
    any.then(|| by_class(report, live))
}

fn by_class(report: &Document, field: impl Fn(&serde_json::Value) -> Option<i64>) -> Classes {
    let classes = report.at("/python_classes").as_array().into_iter().flatten();
    let known = classes.filter_map(|class| Some((class["size"].as_i64()?, field(class)?)));
    known.filter(|(_, blocks)| *blocks != 0).collect()
}
