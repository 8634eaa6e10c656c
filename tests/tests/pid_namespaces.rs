//! memtrace and its target inside a pid namespace, where pids are not those that the kernel side sees.

use std::{ffi::OsString, process::Command};

use anyhow::{Context as _, Result};
use memtrace_tests::{ControlFifos, Document, Memtrace, Program, Target, cannot_trace};

const FLAGS: [&str; 3] = ["-O1", "-fno-omit-frame-pointer", "-fno-builtin"];

/// Three iterations of the program, 100 blocks of 1000 bytes each.
const LEAKED: (i64, i64) = (300_000, 300);

/// A command as the first process of a namespace of its own, with a `/proc` that goes with it.
fn inside(command: impl IntoIterator<Item = OsString>) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "--"]).args(command);
    unshare
}

fn assert_leak(program: &Program, document: &Document) -> Result<()> {
    let (line, _) = program.line_of("/* the leak */")?;
    let stacks = document.stacks_at(program.source(), line);
    let bytes: i64 = stacks.iter().map(|stack| stack.number("live_bytes")).sum();
    let blocks: i64 = stacks.iter().map(|stack| stack.number("live_blocks")).sum();
    assert_eq!((bytes, blocks), LEAKED, "the image after the last execve, and no other");
    document.assert_ledger_closes();
    Ok(())
}

#[test]
fn a_command_that_replaces_its_image_is_followed() -> Result<()> {
    if cannot_trace(&["cc", "unshare"]) {
        return Ok(());
    }
    let program = Program::compile("leak.c", &FLAGS)?;
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.json");
    let memtrace = Memtrace::new(["exec", "--format", "json", "--output"])
        .arg(&report)
        .words(["--", "sh", "-c", "exec \"$0\" 3"])
        .arg(program.path());
    let status = inside(memtrace.command_line()).status()?;
    assert!(status.success(), "{status}");
    assert_leak(&program, &Document::read(&report)?)
}

#[test]
fn a_pid_is_the_namespaces_own() -> Result<()> {
    if cannot_trace(&["cc", "unshare"]) {
        return Ok(());
    }
    let program = Program::compile("leak.c", &FLAGS)?;
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.json");
    let mut fifos = ControlFifos::make()?;
    // The target replaces its image once memtrace is attached.
    let script = "exec 3<&0; sh -c 'read line; exec \"$0\" 3 wait' \"$1\" <&3 & \
                  exec \"$0\" --pid $! --control \"$3\" --format json --output \"$2\" 2>&1";
    let memtrace =
        Memtrace::new([""; 0]).command_line().into_iter().next().context("no program")?;
    let fifo = fifos.argument().into();
    let arguments = [memtrace, program.path().into(), report.clone().into(), fifo];
    let command = ["sh", "-c", script].map(OsString::from).into_iter().chain(arguments);
    let mut target = Target::start(&mut inside(command))?;
    let attached = target.expect("attached to")?;
    assert!(attached.contains("attached to 2 "), "the namespace's second process: {attached}");
    target.send("\n")?;
    target.expect("ready")?;
    // Nothing holds a process that was attached to: before the answer, memtrace has taken in what it is now.
    fifos.say("ping")?;
    target.send("\n\n\n")?;
    target.expect("done")?;
    fifos.say("ping")?;
    target.close_input();
    let status = target.wait()?;
    assert!(status.success(), "{status}");
    assert_leak(&program, &Document::read(&report)?)
}
