//! Frames of running interpreters, from outside, compared with what Python says itself: file, line, name; difference 0.

mod python_support;

use std::{collections::BTreeMap, fs, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use memtrace::{
    python::{Chain, FREED, Finder, Found, Interpreter, Names, Unfit, Unnamed},
    symbolize::{Language, SourceRoot},
    target::{Held, Modules},
    units::Pid,
};
use memtrace_tests::{Program, Target, absent, skip, until};
use python_support::{Python, installed, interpreters};
use tracer_common::{PythonFrame, Space};

/// A program that does nothing for a while.
const PAUSE: &str = "import time; time.sleep(60)";

/// File, line, name.
type Line = (String, u32, String);

#[test]
fn each_thread_has_the_frames_that_python_says() -> Result<()> {
    for python in interpreters() {
        let (mut target, stacks) = blocked(&python, &[])?;
        let pid = Pid(target.pid());
        compare(&python, pid, &stacks).with_context(|| python.to_string())?;
        target.send("\n")?;
        ensure!(target.wait()?.success(), "{python} was disturbed");
    }
    Ok(())
}

#[test]
fn a_forked_worker_has_them_too() -> Result<()> {
    for python in interpreters() {
        let mut target = Target::start(python.command().arg(script("stacks.py")).arg("fork"))?;
        let line = target.expect("forked ")?;
        let pid = Pid(line.trim_start_matches("forked ").parse()?);
        let stacks = stacks_of(&target.expect("frames ")?)?;
        compare(&python, pid, &stacks).with_context(|| python.to_string())?;
        target.send("\n")?;
        ensure!(target.wait()?.success(), "{python} was disturbed");
    }
    Ok(())
}

/// Starts the script and waits until all of its threads wait.
fn blocked(python: &Python, arguments: &[&str]) -> Result<(Target, BTreeMap<u64, Vec<Line>>)> {
    let mut target = Target::start(python.command().arg(script("stacks.py")).args(arguments))?;
    let stacks = stacks_of(&target.expect("frames ")?)?;
    Ok((target, stacks))
}

fn stacks_of(line: &str) -> Result<BTreeMap<u64, Vec<Line>>> {
    let json = line.strip_prefix("frames ").context("no frames")?;
    let stacks: BTreeMap<String, Vec<Line>> = serde_json::from_str(json)?;
    stacks.into_iter().map(|(id, stack)| Ok((id.parse()?, stack))).collect()
}

fn compare(python: &Python, pid: Pid, expected: &BTreeMap<u64, Vec<Line>>) -> Result<()> {
    let interpreter = ready(pid)?;
    ensure!(interpreter.version() == python.version, "{} for {python}", interpreter.version());
    let config = interpreter.config(Space(0));
    let mut names = Names::new(pid, None);
    let mut stacks: Vec<_> = Vec::new();
    for (state, id) in interpreter.threads() {
        let chain = Chain::read(interpreter.memory(), &config, state).context("unreadable")?;
        assert_runs(&chain);
        stacks.push((id, named(&interpreter, &mut names, &chain.frames)?));
    }
    assert_eq!(stacks.len(), expected.len(), "threads of {python}");
    let frames: usize = stacks.iter().map(|(_, stack)| stack.len()).sum();
    println!("{python}: {} threads, {frames} frames", stacks.len());
    if config.thread_id == 0 {
        // 3.10 has no ids: the same stacks, whosever they are.
        let mut found: Vec<_> = stacks.into_iter().map(|(_, stack)| stack).collect();
        let mut expected: Vec<_> = expected.values().cloned().collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{python}");
    } else {
        let found: BTreeMap<_, _> = stacks.into_iter().collect();
        assert_eq!(&found, expected, "{python}");
    }
    assert_eq!(names.unnamed(), Unnamed::default());
    Ok(())
}

fn named(
    interpreter: &Interpreter,
    names: &mut Names,
    frames: &[PythonFrame],
) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for frame in frames {
        let line = names.line_of(interpreter, frame).context("no line")?;
        let shown = names.frame(interpreter, frame);
        let (file, name) = shown.file.zip(shown.function).context("no name")?;
        assert_eq!(shown.line, Some(line));
        assert_ne!(frame.checksum, 0);
        lines.push((file, line, name));
    }
    Ok(lines)
}

/// Each frame is in a run, and each run has frames.
fn assert_runs(chain: &Chain) {
    assert!(chain.runs.is_sorted_by(|a, b| a < b), "{:?}", chain.runs);
    assert_eq!(chain.runs.last().copied().unwrap_or(0) as usize, chain.frames.len());
    assert!(!chain.truncated);
}

fn ready(pid: Pid) -> Result<Box<Interpreter>> {
    match find(pid)? {
        Found::Ready(interpreter) => Ok(interpreter),
        other => bail!("not ready: {other:?}"),
    }
}

fn find(pid: Pid) -> Result<Found> {
    let mut modules = Modules::default();
    modules.refresh(pid)?;
    Ok(Finder::default().find(pid, &modules)?)
}

fn script(name: &str) -> String {
    format!("{}/tests/python/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn deeper_than_there_is_room_for_is_cut() -> Result<()> {
    let program = "def f(n):\n if n: f(n - 1)\n else: print('deep', flush=True); input()\nf(900)";
    for python in interpreters() {
        let mut target = Target::start(python.command().args(["-c", program]))?;
        target.expect("deep")?;
        let interpreter = ready(Pid(target.pid()))?;
        let (state, _) = *interpreter.threads().first().context("no thread")?;
        let config = interpreter.config(Space(0));
        let chain = Chain::read(interpreter.memory(), &config, state).context("unreadable")?;
        assert!(chain.truncated, "{python}");
        let kept = if chain.runs.len() == 64 { 64 } else { 256 };
        assert_eq!(chain.frames.len(), kept, "{python}");
    }
    Ok(())
}

#[test]
fn a_subinterpreter_has_its_own_frames() -> Result<()> {
    for python in interpreters() {
        let mut target = Target::start(python.command().arg(script("subinterpreter.py")))?;
        if target.expect("up")?.contains("none") {
            continue;
        }
        let interpreter = ready(Pid(target.pid()))?;
        let threads = interpreter.threads();
        let [(state, _)] = threads[..] else { bail!("{python}: {threads:?}") };
        let config = interpreter.config(Space(0));
        let chain = Chain::read(interpreter.memory(), &config, state).context("unreadable")?;
        let mut names = Names::new(Pid(target.pid()), None);
        let lines = named(&interpreter, &mut names, &chain.frames)?;
        let functions: Vec<_> = lines.iter().map(|(_, _, name)| name.as_str()).collect();
        // Up to 3.11 a thread's own state is the first that it ever had.
        let outside = python.version.minor < 12;
        let innermost = if outside { "outer" } else { "inner" };
        assert_eq!(functions, [innermost, "<module>"], "{python}");
    }
    Ok(())
}

#[test]
fn a_busy_interpreter_is_found() -> Result<()> {
    let program = "import threading, sys\n\
        def f(n): return n and f(n - 1)\n\
        def g():\n while True: f(5); sorted([3, 1], key=lambda x: f(2))\n\
        def h():\n while True: t = threading.Thread(target=f, args=(9,)); t.start(); t.join()\n\
        for x in (g, g, h, h): threading.Thread(target=x, daemon=True).start()\n\
        print('busy', flush=True); input()";
    for python in interpreters() {
        let mut target = Target::start(python.command().args(["-c", program]))?;
        target.expect("busy")?;
        for _ in 0..50 {
            ready(Pid(target.pid())).with_context(|| python.to_string())?;
        }
    }
    Ok(())
}

#[test]
fn until_it_is_set_up_it_is_not_ready() -> Result<()> {
    for python in interpreters() {
        let python_command = python.command();
        let command = [python_command.get_program(), "-c".as_ref(), PAUSE.as_ref()];
        let held = Held::start(&command.map(Into::into), None, &[])?;
        let pid = held.pid();
        let (mut finder, mut modules) = (Finder::default(), Modules::default());
        let mut look = || {
            modules.refresh(pid)?;
            anyhow::Ok(finder.find(pid, &modules)?)
        };
        let is_early = |found: &Found| matches!(found, Found::None | Found::NotYet);
        let mut launched = held.run_to_entry(|_| {
            let early = look()?;
            ensure!(is_early(&early), "{python}: {early:?}");
            Ok(())
        })?;
        let mut found = look();
        until("it is something else", || {
            found = look();
            !found.as_ref().is_ok_and(is_early)
        })?;
        launched.child.kill()?;
        launched.child.wait()?;
        assert!(matches!(found, Ok(Found::Ready(_))), "{python}: {found:?}");
    }
    Ok(())
}

#[test]
fn other_versions_are_refused_by_name() -> Result<()> {
    let mut pythons = installed();
    pythons.retain(|python| !python.version.is_supported());
    if pythons.is_empty() {
        absent("a Python of a version that is not supported");
    }
    for python in pythons {
        let program = "import sys; sys.stdout.write('up\\n'); sys.stdout.flush(); sys.stdin.read()";
        let mut target = Target::start(python.command().args(["-c", program]))?;
        target.expect("up")?;
        let version = python.version;
        match find(Pid(target.pid()))? {
            Found::Unfit(unfit) => {
                assert_eq!(unfit, Unfit::Version { version });
                let (major, minor) = (version.major, version.minor);
                let says = format!(
                    "no Python frames: CPython {major}.{minor} is not supported (3.10 to 3.13 are)"
                );
                assert_eq!(unfit.to_string(), says);
            }
            other => bail!("{python}: {other:?}"),
        }
    }
    Ok(())
}

#[test]
fn what_only_looks_like_python_is_refused() -> Result<()> {
    if Command::new("cc").arg("--version").output().is_err() {
        skip("cc is not installed");
        return Ok(());
    }
    let program = Program::compile("no_python.c", &["-O1", "-rdynamic"])?;
    for (arguments, what) in [(&[][..], "code objects"), (&["types"], "thread")] {
        let target = program.start(arguments)?;
        let found = find(Pid(target.pid()))?;
        let Found::Unfit(Unfit::Layout { what: said, .. }) = &found else { bail!("{found:?}") };
        assert!(said.contains(what), "{said}");
    }
    Ok(())
}

#[test]
fn names_outlive_their_code_and_are_never_anothers() -> Result<()> {
    for python in interpreters() {
        let folder = tempfile::tempdir()?;
        fs::write(
            folder.path().join("relative.py"),
            "def here():\n\twait('a file')  # its line\n",
        )?;
        let mut target =
            Target::start(python.command().arg(script("names.py")).current_dir(folder.path()))?;
        let pid = Pid(target.pid());
        target.expect("at a file")?;
        let interpreter = ready(pid)?;
        let mut names = Names::new(pid, Some(SourceRoot::of_process(pid)?));
        let [wait, here] = innermost(&interpreter)?;
        let frame = names.frame(&interpreter, &here);
        assert_eq!(frame.source.as_deref(), Some("wait('a file')  # its line"), "{python}");
        assert_eq!((frame.file.as_deref(), frame.line), (Some("relative.py"), Some(2)));
        assert_eq!(frame.language, Language::Python);

        target.send("\n")?;
        target.expect("at passing")?;
        let [wait_again, passing] = innermost(&interpreter)?;
        let identity = |frame: PythonFrame| (frame.code, frame.checksum);
        assert_eq!(identity(wait_again), identity(wait), "{python}: it is the same code object");
        names.learn(&interpreter, &[passing]);

        target.send("\n")?;
        target.expect("at another_999")?;
        let frame = names.frame(&interpreter, &passing);
        assert_eq!(frame.function.as_deref(), Some("passing"), "{python}");
        assert_eq!((frame.file.as_deref(), frame.source), (Some("<string>"), None));
        // Who comes too late learns nothing, rather than something wrong.
        let mut late = Names::new(pid, None);
        assert!(late.code(&interpreter, &passing).is_err(), "{python}");
        let frame = late.frame(&interpreter, &passing);
        assert_eq!((frame.function.as_deref(), frame.file), (Some(FREED), None));
        assert_eq!(late.unnamed().stale + late.unnamed().unreadable, 1);
        assert_eq!(names.unnamed(), Unnamed::default());

        target.send("\n")?;
        ensure!(target.wait()?.success(), "{python} was disturbed");
        // Nor who asks when the process has ended.
        let mut last = Names::new(pid, None);
        assert_eq!(last.line_of(&interpreter, &passing), None);
        assert_eq!(last.unnamed(), Unnamed { unreadable: 1, ..Unnamed::default() });
    }
    Ok(())
}

/// The first two frames of the first thread.
fn innermost(interpreter: &Interpreter) -> Result<[PythonFrame; 2]> {
    let (state, _) = *interpreter.threads().first().context("no thread")?;
    let chain = Chain::read(interpreter.memory(), &interpreter.config(Space(0)), state);
    Ok(*chain.context("unreadable")?.frames.first_chunk().context("no caller")?)
}

#[test]
fn what_is_no_python_has_none() -> Result<()> {
    let target = Target::start(Command::new("sleep").arg("60"))?;
    let found = find(Pid(target.pid()))?;
    assert!(matches!(found, Found::None), "{found:?}");
    Ok(())
}
