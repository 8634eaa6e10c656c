//! Attaching to a busy interpreter and leaving it again, over and over: it writes what it would have written untraced, to the
//! byte, and ends as it would have.

use std::{thread::sleep, time::Duration};

use anyhow::{Context as _, Result};
use memtrace_tests::{Memtrace, Python, Target, cannot_trace, in_full};
use rustix::process::Signal;

/// It allocates thousands of times in it, however slowed down.
const MOMENT: Duration = Duration::from_millis(200);
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/python/busy.py");

/// Every other time by each object, where that is possible: probes in the middle of the interpreter's allocator.
#[test]
fn attached_and_detached_again_and_again() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    let times = if in_full() { 50 } else { 2 };
    for python in Python::all()? {
        let mut busy = Target::start(&mut python.command(&["-u", SCRIPT]))?;
        busy.expect("0 ")?;
        for time in 0..times {
            let objects = if python.is_shared && time % 2 == 0 { "exact" } else { "classes" };
            attach_and_leave(&mut busy, objects)
                .with_context(|| format!("{python:?}, {objects}, time {time}"))?;
        }
        busy.send("enough\n")?;
        let (written, status) = busy.finish()?;
        assert!(status.success(), "{python:?}: {status}");
        let rounds = written.lines().last().and_then(|line| line.strip_prefix("ended after "));
        let rounds = rounds.with_context(|| format!("{python:?} did not end by itself"))?;
        println!("{python:?}: attached {times} times, {rounds} rounds");
        let untraced = python.command(&["-u", SCRIPT, rounds]).output()?;
        assert!(written.as_bytes() == untraced.stdout, "{python:?} wrote something else");
    }
    Ok(())
}

/// It is recorded for a moment of its work.
fn attach_and_leave(busy: &mut Target, objects: &str) -> Result<()> {
    let mut memtrace = Memtrace::attach(busy.pid())
        .args("-i 1h -n 1 --format json --python-objects")
        .arg(objects)
        .start()?;
    memtrace.attached()?;
    sleep(MOMENT);
    memtrace.signal(Signal::INT)?;
    let report = memtrace.finish()?.document()?;
    report.assert_ledger_closes();
    assert!(report.number("/ledger/allocs/recorded") > 0, "it was busy, and nothing was seen");
    anyhow::ensure!(busy.is_running()?, "it has ended");
    Ok(())
}
