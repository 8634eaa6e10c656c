//! Greenlets: their stacks are copied about on one thread's, and have no callers but in name.

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{ControlFifos, Memtrace, Python, Target, cannot_trace, packages};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/python/greenlets.py");

/// As gevent has it.
const PACKAGES: [&str; 1] = ["greenlet==3.5.6"];

const STEPS: usize = 4;
/// Objects that a step keeps: of 8 greenlets, each 200 times.
const KEPT: i64 = 8 * 200;
/// An object's head and a final zero are 33 bytes.
const BYTES: i64 = 3033;

/// What all greenlets of a kind keep is one stack, to the byte, wherever their starters have gone since.
#[test]
fn one_line_of_many_greenlets_is_one_stack() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    for python in Python::few()? {
        let Some(packages) = packages(&python, &PACKAGES)? else { return Ok(()) };
        let mut command = python.command(&[SCRIPT]);
        let mut target = Target::start(command.env("PYTHONPATH", packages))?;
        target.expect("ready")?;
        let mut fifos = ControlFifos::make()?;
        let memtrace = Memtrace::attach(target.pid()).arg("--control").arg(fifos.argument());
        let mut memtrace = memtrace.args(&format!("-w 0 -n {STEPS} --format json")).start()?;
        memtrace.attached()?;
        for _ in 0..STEPS {
            target.send("\n")?;
            target.expect("ready")?;
            fifos.say("snapshot")?;
        }
        let report = memtrace.finish()?.document()?;
        assert!(target.is_running()?, "it was harmed");

        report.assert_ledger_closes();
        println!("{python:?}: {}", report.at("/unwinding"));
        let first = *report.stacks().first().context("no stacks")?;
        assert_eq!(first.net()[..STEPS], [(KEPT * BYTES, KEPT); STEPS], "{python:?}");
        assert_eq!(first.verdict(), "growing");
        assert_eq!(first.unwind(), "complete");
        let names: Vec<_> = first.python_frames().into_iter().map(|(_, _, name)| name).collect();
        assert_eq!(names, ["keep", "work"]);
        let functions = first.functions();
        let last = functions.last().context("no frames")?;
        ensure!(last.starts_with("greenlet::UserGreenlet::inner_bootstrap("), "{functions:#?}");
        assert_eq!(report.at("/unwinding/complete"), report.at("/unwinding/allocations"));
    }
    Ok(())
}
