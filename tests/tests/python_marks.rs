//! Iterations that a Python program marks itself (`python/memtrace.py`), and those that `--mark-py` marks in a program
//! that knows nothing of it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{ControlFifos, Document, Memtrace, Python, SYSTEM_PYTHON, cannot_trace, skip};
use rustix::process::Signal;

const PYTHON: &str = SYSTEM_PYTHON;
const MIB: i64 = 1 << 20;

/// The module is for this version and later ones.
const OLDEST: (u32, u32) = (3, 8);

/// The folder of the module `memtrace`.
fn module_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../python")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/python").join(name)
}

fn cannot_run() -> bool {
    if !Path::new(PYTHON).exists() {
        skip("there is no /usr/bin/python3");
        return true;
    }
    cannot_trace(&[])
}

fn exec(arguments: &str, report: &Path) -> Memtrace {
    Memtrace::new(["exec", "--format", "json", "-o"]).arg(report).args(arguments)
}

/// What the script does without memtrace.
fn untraced(script: &Path, path: &str) -> Result<Output> {
    let mut command = Command::new(PYTHON);
    command.arg("-B").arg(script).env("PYTHONPATH", path).env_remove("MEMTRACE_CONTROL");
    Ok(command.output()?)
}

/// The labels of the iterations that words ended.
fn labels(report: &Document) -> Vec<&str> {
    let controlled = report.iterations().iter().filter(|i| i["trigger"] == "control");
    controlled.map(|iteration| iteration["label"].as_str().unwrap_or("-")).collect()
}

/// Runs the tests of a Python file, by all interpreters that there are.
fn unittest(file: &str) -> Result<()> {
    let found = Python::installed();
    let found: Vec<_> = found.iter().filter(|python| python.version >= OLDEST).collect();
    if found.is_empty() {
        skip("no Python");
    }
    for python in found {
        let output = Command::new(&python.path)
            .args(["-B", "-W", "ignore::DeprecationWarning", "-m", "unittest", file])
            .current_dir(module_folder())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {said}", python.path.display());
        ensure!(said.contains("\nOK"), "{}: {said}", python.path.display());
    }
    Ok(())
}

#[test]
fn the_modules_own_tests() -> Result<()> {
    unittest("test_memtrace")
}

#[test]
fn the_hooks_own_tests() -> Result<()> {
    unittest("test_mark_py")
}

/// Each mark is cut where its block ends: the block's memory is in its iteration, to within what Python itself needs.
#[test]
fn a_program_marks_its_own_iterations() -> Result<()> {
    if cannot_run() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.json");
    let path = module_folder().display().to_string();
    let expected = untraced(&script("marks.py"), &path)?;
    let finished = exec("-- /usr/bin/python3 -B", &report)
        .arg(script("marks.py"))
        .env("PYTHONPATH", &path)
        .run()?;
    finished.expect_code(3);
    assert_eq!(expected.status.code(), Some(3));
    assert_eq!(finished.stdout.as_bytes(), expected.stdout);
    assert!(finished.stdout.ends_with("caught mine\nchild 0\nmissed 0\n"), "{}", finished.stdout);
    let report = Document::read(&report)?;
    let batches = ["batch 1", "batch 2, größer", "called", "awaited", "raised", "thread", "-"];
    assert_eq!(labels(&report), [&["start"][..], &batches].concat());
    for (index, mib) in (1..=7).enumerate() {
        let [_, _, allocated, _] = report.counts_of(index + 1);
        let more = allocated - mib * MIB;
        assert!((0..MIB).contains(&more), "{}: {allocated} bytes", batches[index]);
    }
    report.assert_ledger_closes();
    Ok(())
}

/// A script and the program may both give words, and each gets its own answers.
#[test]
fn a_script_beside_the_program() -> Result<()> {
    if cannot_run() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.json");
    let mut fifos = ControlFifos::make()?;
    let mut target = exec("--control", &report)
        .arg(fifos.argument())
        .words(["--", PYTHON, "-B"])
        .arg(script("lines.py"))
        .env("PYTHONPATH", &module_folder().display().to_string())
        .into_target()?;
    target.expect("ready")?;
    for turn in 0..3 {
        target.send(&format!("program {turn}\n"))?;
        target.expect("done 0")?;
        fifos.say(&format!("snapshot script {turn}"))?;
    }
    target.close_input();
    assert_eq!(target.wait()?.code(), Some(0));
    let turns = ["program 0", "script 0", "program 1", "script 1", "program 2", "script 2"];
    assert_eq!(labels(&Document::read(&report)?), turns);
    Ok(())
}

#[test]
fn a_program_outlives_memtrace() -> Result<()> {
    if cannot_run() {
        return Ok(());
    }
    // What memtrace leaves behind when it is killed goes with this.
    let folder = tempfile::tempdir()?;
    let mut target = exec("-- /usr/bin/python3 -B", &folder.path().join("report.json"))
        .arg(script("lines.py"))
        .env("PYTHONPATH", &module_folder().display().to_string())
        .env("TMPDIR", &folder.path().display().to_string())
        .into_target()?;
    target.expect("ready")?;
    target.send("traced\n")?;
    target.expect("done 0")?;
    target.signal(Signal::KILL)?;
    for _ in 0..3 {
        target.send("not traced\n")?;
        target.expect("done 0")?;
    }
    Ok(())
}

/// `--mark-py FUNCTION` on `marked.py`, which must notice nothing: labels, and bytes allocated up to each mark.
fn marked(arguments: &str) -> Result<(Vec<String>, Vec<i64>, String)> {
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.json");
    // Its length is in the output: the program's path is what it would be.
    let path = folder.path().display().to_string();
    let expected = untraced(&script("marked.py"), &path)?;
    let finished = exec(arguments, &report)
        .arg(script("marked.py"))
        .env("PYTHONPATH", &path)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .run()?;
    finished.expect_code(5);
    assert_eq!(expected.status.code(), Some(5));
    assert_eq!(finished.stdout, String::from_utf8(expected.stdout)?);
    assert!(finished.stdout.contains("caught 'mine'"), "{}", finished.stdout);
    let report = Document::read(&report)?;
    report.assert_ledger_closes();
    let allocated = (0..labels(&report).len()).map(|index| report.counts_of(index)[2]).collect();
    Ok((labels(&report).into_iter().map(str::to_owned).collect(), allocated, finished.stderr))
}

/// A registered function is called by a name that the hook never sees.
#[test]
fn a_function_of_a_module() -> Result<()> {
    if cannot_run() {
        return Ok(());
    }
    let (labels, allocated, said) = marked("--mark-py marked_module:handle -- /usr/bin/python3")?;
    assert_eq!(labels, ["marked_module:handle"; 2]);
    assert!((2 * MIB..3 * MIB).contains(&allocated[1]), "{allocated:?}");
    assert!(!said.contains("--mark-py"), "{said}");
    Ok(())
}

#[test]
fn a_method() -> Result<()> {
    if cannot_run() {
        return Ok(());
    }
    let (labels, ..) = marked("--mark-py marked_module:Cart.checkout -- /usr/bin/python3")?;
    assert_eq!(labels, ["marked_module:Cart.checkout"]);
    Ok(())
}

#[test]
fn a_function_of_the_program_itself() -> Result<()> {
    if cannot_run() {
        return Ok(());
    }
    let (labels, allocated, _) = marked("--mark-py __main__:repeat -- /usr/bin/python3")?;
    assert_eq!(labels, ["__main__:repeat"; 3]);
    for (index, mib) in [(1, 2), (2, 3)] {
        let more = allocated[index] - mib * MIB;
        assert!((0..MIB).contains(&more), "{allocated:?}");
    }
    Ok(())
}

#[test]
fn every_nth_call() -> Result<()> {
    if cannot_run() {
        return Ok(());
    }
    let (labels, ..) = marked("--mark-py __main__:repeat --mark-every 2 -- /usr/bin/python3")?;
    assert_eq!(labels, ["__main__:repeat"], "of three calls");
    Ok(())
}

#[test]
fn what_is_not_marked_is_said() -> Result<()> {
    if cannot_run() {
        return Ok(());
    }
    for (arguments, reason) in [
        ("marked_module:handel -- /usr/bin/python3", "has no handel; near names: handle"),
        ("marked_module:never -- /usr/bin/python3", "it was never called"),
    ] {
        let (labels, _, said) = marked(&format!("--mark-py {arguments}"))?;
        assert!(labels.is_empty());
        let warning = said.lines().find(|line| line.contains("no marks were made"));
        let warning = warning.with_context(|| said.clone())?;
        assert!(warning.starts_with("memtrace: warning: --mark-py marked_mod"), "{warning}");
        assert!(warning.contains(reason), "{warning}");
    }
    Ok(())
}

#[test]
fn a_python_that_ignores_its_environment_is_noticed() -> Result<()> {
    if cannot_run() {
        return Ok(());
    }
    let finished = Memtrace::new(["exec", "--mark-py", "app:handle", "--"])
        .words([PYTHON, "-I", "-c", "print(1)"])
        .run()?;
    finished.expect_code(0);
    assert_eq!(finished.stdout, "1\n");
    assert!(
        finished.stderr.contains("switch -I makes it ignore PYTHONPATH"),
        "{}",
        finished.stderr
    );
    let finished = Memtrace::new(["exec", "--mark-py", "app:handle", "--", "/bin/sh", "-c"])
        .arg(format!("{PYTHON} -c 'print(1)'; true"))
        .run()?;
    assert_eq!(finished.stdout, "1\n");
    assert!(finished.stderr.contains("which isn't traced; name Python"), "{}", finished.stderr);
    Ok(())
}
