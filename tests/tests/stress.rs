//! memtrace killed, and attached again and again: the target goes on, and nothing of memtrace stays behind.

use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{Document, Memtrace, Program, Target, cannot_trace, in_full, until};
use rustix::process::Signal;

const FLAGS: [&str; 3] = ["-O1", "-fno-builtin", "-fno-omit-frame-pointer"];

/// Random programs that a target of eight threads runs.
const PROGRAMS: &str = "5000";

/// Killed at any moment of its life, also while it sets its probes: the target computes what it computes without.
#[test]
fn killed_at_any_moment() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let rounds = if in_full() { 100 } else { 10 };
    let program = Program::compile("random.c", &FLAGS)?;
    let start = || Target::start(&mut program.command(&["1", PROGRAMS, "threads"]));
    let wanted = checksum(&mut start()?)?;
    let (mut killed, mut early, mut targets) = (0, 0, 0);
    while killed < rounds {
        let mut target = start()?;
        targets += 1;
        while killed < rounds && target.is_running()? {
            // Spread evenly from the start to well after the attach.
            let moment = Duration::from_millis(killed * 7919 % 1500);
            let started = Instant::now();
            let mut memtrace = Memtrace::attach(target.pid()).args("-i 10ms -n 100000").start()?;
            until("the moment has come", || started.elapsed() >= moment)?;
            memtrace.signal(Signal::KILL)?;
            early += u64::from(memtrace.attached().is_err());
            drop(memtrace); // waits for its end, and with it for that of its probes
            killed += 1;
        }
        assert_eq!(checksum(&mut target)?, wanted, "after {killed} kills");
    }
    println!(
        "{killed} kills, {early} before the attach was complete, {targets} targets, each with the right checksum"
    );
    assert!(early < killed, "always killed too early");
    Ok(())
}

/// Attached and detached again and again: the kernel has no program and no map more than before, the target no
/// descriptor, and each trace is whole.
#[test]
fn attached_again_and_again() -> Result<()> {
    if cannot_trace(&["cc", "bpftool"]) {
        return Ok(());
    }
    let cycles = if in_full() { 200 } else { 15 };
    let program = Program::compile("capacity.c", &FLAGS)?;
    let mut target = program.start(&["blocks", "1000"])?;
    let before = std::fs::read_dir(format!("/proc/{}/fd", target.pid()))?.count();
    let mut own = BTreeSet::new();
    let pid = target.pid();
    for _ in 0..cycles {
        let mut memtrace = Memtrace::attach(pid).args("-i 1h --format json").start()?;
        memtrace.attached()?;
        own.extend(objects_of(memtrace.pid())?);
        memtrace.signal(Signal::INT)?;
        let report: Document = memtrace.finish()?.document()?;
        report.assert_ledger_closes();
    }
    ensure!(own.len() >= cycles * 10, "only {} programs and maps seen", own.len());
    // The kernel frees them a moment after their last descriptor.
    until("programs and maps are gone", || all_objects().is_ok_and(|all| all.is_disjoint(&own)))?;
    assert_eq!(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count(), before);
    target.send("go\n")?;
    target.expect("full")?;
    println!("{cycles} cycles, {} programs, maps and links came and went", own.len());
    Ok(())
}

fn checksum(target: &mut Target) -> Result<String> {
    let line = target.expect("checksum")?;
    ensure!(target.wait()?.success(), "the target failed");
    Ok(line)
}

/// Programs, maps and links by kind and id that a process has open.
fn objects_of(pid: u32) -> Result<BTreeSet<(String, u64)>> {
    let mut objects = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let info = std::fs::read_to_string(entry?.path()).unwrap_or_default();
        for line in info.lines() {
            for kind in ["prog", "map", "link"] {
                if let Some(id) = line.strip_prefix(&format!("{kind}_id:")) {
                    objects.insert((kind.to_owned(), id.trim().parse()?));
                }
            }
        }
    }
    Ok(objects)
}

/// Those of the whole machine. Ids are not given out twice.
fn all_objects() -> Result<BTreeSet<(String, u64)>> {
    let mut objects = BTreeSet::new();
    for kind in ["prog", "map", "link"] {
        let output = Command::new("bpftool").args([kind, "list", "--json"]).output();
        let output = output.context("bpftool can't be started")?;
        let list: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        for object in list.as_array().context("no list")? {
            objects.insert((kind.to_owned(), object["id"].as_u64().context("no id")?));
        }
    }
    Ok(objects)
}
