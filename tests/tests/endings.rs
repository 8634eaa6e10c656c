//! All the ways in which a run can end: each gives a full report, and leaves the target as it was.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::{fs::FileExt as _, process::ExitStatusExt as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use memtrace_tests::{
    Memtrace, Program, Running, Target, bytes_at, cannot_trace, mapped_object, memtrace_binary,
    until,
};
use rustix::process::Signal;

/// Enough that the work lasts while it is traced, and is done soon once it isn't any more.
const ROUNDS: &str = "3000000";

/// From Ctrl-C to the last line of the report.
const REPORT_LIMIT: Duration = Duration::from_secs(2);

/// Attempts at things that have to be quick; the machine may be busy during some.
const TRIES: usize = 3;

const LAST_LINE: &str = ", nothing lost";

#[test]
fn the_target_ends() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let mut target = work(&[])?.start(&["1000"])?;
    let memtrace = attach(&target, "-i 1h --format json")?;
    target.send("\n")?;
    target.expect("checksum")?;
    assert!(target.wait()?.success());
    let report = memtrace.finish()?.document()?;
    report.assert_ledger_closes();
    assert_eq!(report.iterations().len(), 1);
    assert_eq!(report.iterations()[0]["trigger"], "end");
    // It frees all that it allocates; the line of standard input was read without a buffer.
    assert_eq!(report.number("/iterations/0/live_blocks"), 0);
    assert!(report.number("/iterations/0/alloc_blocks") >= 1000 / 2);
    Ok(())
}

#[test]
fn the_target_is_killed() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let mut target = work(&[])?.start(&[ROUNDS])?;
    let mut memtrace = attach(&target, "-i 200ms -n 1000 --debug")?;
    target.send("\n")?;
    memtrace.reports("Memory growth analysis")?;
    target.signal(Signal::KILL)?;
    assert_eq!(target.wait()?.signal(), Some(9));
    let finished = memtrace.finish()?;
    finished.expect_code(0);
    assert!(finished.stdout.trim_end().ends_with(LAST_LINE), "{}", finished.stdout);
    Ok(())
}

#[test]
fn control_c() -> Result<()> {
    ends_at(Signal::INT)
}

#[test]
fn sigterm() -> Result<()> {
    ends_at(Signal::TERM)
}

/// memtrace is told to end while the target is hard at work; the target goes on.
fn ends_at(signal: Signal) -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = work(&[])?;
    let expected = checksum_untraced(&program)?;
    let mut times = Vec::new();
    for _ in 0..TRIES {
        let mut target = program.start(&[ROUNDS])?;
        let mut memtrace = attach(&target, "-i 100ms -n 1000 --debug")?;
        target.send("\n")?;
        memtrace.reports("Memory growth analysis")?;
        let start = Instant::now();
        memtrace.signal(signal)?;
        memtrace.reports(LAST_LINE)?;
        times.push(start.elapsed());
        memtrace.finish()?.expect_code(0);
        assert_eq!(target.expect("checksum")?, expected);
        assert!(target.wait()?.success());
        if times.last() <= Some(&REPORT_LIMIT) {
            break;
        }
    }
    println!("report after {times:?}");
    assert!(times.last() <= Some(&REPORT_LIMIT), "report after {times:?}");
    Ok(())
}

/// The kernel takes the probes out when memtrace can't any more.
#[test]
fn memtrace_is_killed() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = work(&[])?;
    let expected = checksum_untraced(&program)?;
    let mut target = program.start(&[ROUNDS])?;
    assert!(code_is_original(&target)?);
    let mut memtrace = attach(&target, "-i 100ms -n 1000 --debug")?;
    assert!(!code_is_original(&target)?, "memtrace sets breakpoints, or this test tests nothing");
    target.send("\n")?;
    memtrace.reports("Memory growth analysis")?;
    memtrace.signal(Signal::KILL)?;
    assert_eq!(memtrace.finish()?.status.signal(), Some(9));
    until("the probes are gone", || code_is_original(&target).unwrap_or(false))?;
    assert_eq!(target.expect("checksum")?, expected);
    assert!(target.wait()?.success());
    Ok(())
}

/// An orderly end leaves the code as it was, too.
#[test]
fn probes_are_taken_out() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let mut target = work(&[])?.start(&["1000"])?;
    attach(&target, "-i 50ms -n 1")?.finish()?.expect_code(0);
    assert!(code_is_original(&target)?);
    target.send("\n")?;
    target.expect("checksum")?;
    assert!(target.wait()?.success());
    Ok(())
}

/// Ctrl-C in a terminal reaches the command by itself, so memtrace doesn't pass it on: here it goes to memtrace
/// alone, and the command works on, without probes.
#[test]
fn control_c_under_exec() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = work(&[])?;
    let expected = checksum_untraced(&program)?;
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report");
    let mut memtrace = Memtrace::new(["exec", "-o"])
        .arg(&report)
        .arg("--")
        .arg(program.path())
        .arg(ROUNDS)
        .into_target()?;
    memtrace.expect("ready")?;
    memtrace.send("\n")?;
    memtrace.signal(Signal::INT)?;
    until("the report is written", || {
        std::fs::read_to_string(&report).is_ok_and(|text| text.trim_end().ends_with(LAST_LINE))
    })?;
    assert_eq!(memtrace.expect("checksum")?, expected);
    assert!(memtrace.wait()?.success());
    Ok(())
}

/// A signal to memtrace alone that asks it to end is meant for the command as well.
#[test]
fn sigterm_under_exec() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = work(&[])?;
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report");
    let mut memtrace = Memtrace::new(["exec", "-o"])
        .arg(&report)
        .arg("--")
        .arg(program.path())
        .arg("1")
        .into_target()?;
    memtrace.expect("ready")?;
    memtrace.signal(Signal::TERM)?;
    // Not `wait` yet: it closes standard input, at which the command would end by itself.
    until("the command is ended", || !memtrace.is_running().unwrap_or(false))?;
    assert_eq!(memtrace.wait()?.code(), Some(128 + 15));
    assert!(std::fs::read_to_string(&report)?.trim_end().ends_with(LAST_LINE));
    Ok(())
}

/// `memtrace … | head -1`
#[test]
fn nobody_reads_on() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let mut target = work(&[])?.start(&["1"])?;
    for (lines, arguments) in [(1, "-i 50ms -n 1000 --debug"), (0, "-i 50ms -n 2 --format json")] {
        let mut memtrace = Command::new(memtrace_binary())
            .args(["--pid", &target.pid_argument()])
            .args(arguments.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut output = BufReader::new(memtrace.stdout.take().context("no pipe")?);
        for _ in 0..lines {
            let mut line = String::new();
            output.read_line(&mut line)?;
            assert!(line.starts_with("[DEBUG] Raw peak usage:"), "{line}");
        }
        drop(output);
        let ended = until("memtrace ends", || matches!(memtrace.try_wait(), Ok(Some(_))));
        if ended.is_err() {
            memtrace.kill()?;
        }
        let status = memtrace.wait()?;
        ended?;
        let mut talk = String::new();
        memtrace.stderr.take().context("no pipe")?.read_to_string(&mut talk)?;
        assert_eq!(status.code(), Some(0), "{talk}");
        assert_eq!(talk.lines().count(), 1, "{talk}");
        assert!(talk.starts_with("memtrace: attached to "), "{talk}");
    }
    assert!(target.is_running()?);
    Ok(())
}

fn work(flags: &[&str]) -> Result<Program> {
    Program::compile("work.c", &[&["-O2", "-fno-omit-frame-pointer"], flags].concat())
}

fn checksum_untraced(program: &Program) -> Result<String> {
    let mut target = program.start(&[ROUNDS])?;
    target.send("\n")?;
    target.expect("checksum")
}

/// Starts memtrace and waits until it is attached.
fn attach(target: &Target, arguments: &str) -> Result<Running> {
    let mut memtrace = Memtrace::attach(target.pid()).args(arguments).start()?;
    memtrace.attached()?;
    Ok(memtrace)
}

/// Whether the code of the C library in the process is that of the file.
fn code_is_original(target: &Target) -> Result<bool> {
    let (start, offset, len, path) = mapped_object(target.pid(), "libc.so")?;
    let mut original = vec![0; len];
    // The last page is filled up with what follows in the file, or zeros.
    let read = File::open(path)?.read_at(&mut original, offset)?;
    Ok(bytes_at(target.pid(), start, len)?[..read] == original[..read])
}
