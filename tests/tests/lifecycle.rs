//! What happens to a process and its threads while they allocate: the figures are exact, or the report says
//! that they aren't. `programs/lifecycle.c` has the scenarios and counts its own calls.

use std::fs;

use anyhow::{Context as _, Result};
use memtrace_tests::{Document, Memtrace, Program, Running, Target, cannot_trace};
use rustix::process::Signal;

const FLAGS: [&str; 3] = ["-O1", "-fno-builtin", "-fno-omit-frame-pointer"];

/// The child of a fork frees what it inherited, and allocates: nothing of it is the parent's.
#[test]
fn fork() -> Result<()> {
    exact("fork")
}

/// The child of a vfork works in the parent's memory until it executes another program.
#[test]
fn vfork() -> Result<()> {
    exact("vfork")
}

/// 300 threads one after the other, half of them on one stack of the program's own, each leaving a block that
/// the main thread frees.
#[test]
fn threads_come_and_go() -> Result<()> {
    exact("threads")
}

#[test]
fn handlers_allocate_on_a_stack_of_their_own() -> Result<()> {
    exact("altstack")
}

#[test]
fn coroutines() -> Result<()> {
    exact("coroutines")
}

/// By free, by realloc, and by a realloc to nothing, which calls free.
#[test]
fn one_address_again_and_again() -> Result<()> {
    exact("reuse")
}

/// Threads that are cancelled inside of malloc. Their calls are pending: no block of them reached the program.
#[test]
fn threads_cancelled_inside_of_malloc() -> Result<()> {
    let Some(report) = exact_report("cancel")? else { return Ok(()) };
    println!("{} calls did not return", report.number("/ledger/allocs/pending"));
    assert!(report.number("/ledger/allocs/pending") > 0, "no call was interrupted");
    Ok(())
}

/// Handlers that jump out of malloc, attached before the kernel has put its trampoline into the target. The calls
/// that are left behind are counted as lost; what follows, from further up and further down, is exact.
#[test]
fn jumps_out_of_malloc() -> Result<()> {
    let Some((report, own, program)) = attached("longjmp")? else { return Ok(()) };
    assert_eq!(own_of(&report, &program), own);
    let missed = report.number("/ledger/allocs/lost/missed_return");
    println!("{missed} calls did not return");
    assert!(missed > 0, "no call was interrupted");
    assert_incomplete_but_closed(&report);
    Ok(())
}

/// The same where the call that was left behind looks as if it still went on: what is taken for a part of it is
/// bounded and counted.
#[test]
fn jumps_out_of_malloc_that_leave_no_trace() -> Result<()> {
    let Some((report, own, program)) = attached("hole")? else { return Ok(()) };
    let traced = own_of(&report, &program);
    let missed = report.number("/ledger/allocs/lost/missed_return");
    println!("{} of {} recorded, {missed} lost", traced[0], own[0]);
    assert!(missed > 0, "no call was interrupted");
    assert!(traced[0] + missed >= own[0], "{traced:?} of {own:?}, {missed} lost");
    // 20 calls left behind, each with at most 256 that are taken for its own.
    assert!(traced[0] >= own[0] - 20 * 257, "{traced:?} of {own:?}");
    assert_incomplete_but_closed(&report);
    Ok(())
}

/// The trace ends inside of a realloc: its old block is live, by the counters and block by block.
#[test]
fn stopped_inside_of_realloc() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = Program::compile("lifecycle.c", &FLAGS)?;
    let mut target = program.start(&["large-realloc"])?;
    let mut memtrace =
        Memtrace::attach(target.pid()).args("-i 100ms -n 8 --format json --strict").start()?;
    memtrace.attached()?;
    target.send("go\n")?;
    let report = memtrace.finish()?.document()?;
    report.assert_ledger_closes();
    assert!(report.number("/ledger/allocs/pending") <= 1);
    let live: i64 = report.stacks().iter().map(|stack| stack.number("live_blocks")).sum();
    let survivors = report.stacks().into_iter().flat_map(|stack| stack.survivors());
    assert_eq!(live, 2);
    assert_eq!(survivors.map(|(_, blocks, _)| blocks).sum::<i64>(), 2);
    Ok(())
}

/// One thread ends the process in the middle of the others' calls.
#[test]
fn the_process_ends_while_threads_allocate() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let program = Program::compile("lifecycle.c", &FLAGS)?;
    let mut target = Memtrace::new(["exec", "--strict", "--format", "json", "-o"])
        .arg(&file)
        .arg("--")
        .arg(program.path())
        .arg("exit-group")
        .into_target()?;
    target.send("go\n")?;
    assert_eq!(target.wait()?.code(), Some(7));
    let report = Document::read(&file)?;
    report.assert_ledger_closes();
    assert_eq!(report.number("/target/exit_status"), 7);
    // Each of the 8 threads has at most one block.
    let live = own_of(&report, &program);
    assert!((0..=8).contains(&(live[0] - live[1])), "{live:?}");
    println!("{} calls did not return", report.number("/ledger/allocs/pending"));
    Ok(())
}

/// The target becomes another program: its blocks are gone, the new one's are all there.
#[test]
fn execve() -> Result<()> {
    let Some((report, own, _)) = attached_to(&["exec", "reuse"])? else { return Ok(()) };
    report.assert_ledger_closes();
    let [allocs, frees, alloc_bytes, free_bytes] = report.counts();
    // 100 blocks of 5000 bytes went with the old image.
    assert_eq!([allocs - 100, frees, alloc_bytes - 500_000, free_bytes], own);
    let dropped = |field: &str| -> i64 {
        report.iterations().iter().filter_map(|iteration| iteration[field].as_i64()).sum()
    };
    assert_eq!((dropped("exec_dropped_blocks"), dropped("exec_dropped_bytes")), (100, 500_000));
    assert!(report.stacks().iter().all(|stack| stack.number("live_bytes") == 0));
    Ok(())
}

/// The same from a shell, which is another program than the one that is traced in the end.
#[test]
fn a_shell_that_executes_a_program() -> Result<()> {
    if cannot_trace(&["cc", "sh"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let program = Program::compile("lifecycle.c", &FLAGS)?;
    let mut target = Memtrace::new(["exec", "--strict", "--format", "json", "-o"])
        .arg(&file)
        .args("-- sh -c")
        .arg(format!("exec {} reuse", program.path().display()))
        .into_target()?;
    target.expect("ready")?;
    target.send("go\n")?;
    let own = own_counts(&mut target)?;
    target.send("end\n")?;
    assert!(target.wait()?.success());
    let report = Document::read(&file)?;
    report.assert_ledger_closes();
    assert_eq!(own_of(&report, &program), own);
    assert_eq!(report.stacks().iter().map(|stack| stack.number("live_bytes")).sum::<i64>(), 0);
    Ok(())
}

/// A script that executes itself, faster than its old images can be cleared up: what a new one has allocated meanwhile
/// stays.
#[test]
fn thirty_images_in_a_row() -> Result<()> {
    if cannot_trace(&["sh"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let (script, file) = (folder.path().join("script"), folder.path().join("report.json"));
    fs::write(&script, "[ $1 -eq 0 ] || exec sh \"$0\" $(($1 - 1))\n")?;
    Memtrace::new(["exec", "--strict", "--format", "json", "-o"])
        .arg(&file)
        .args("-- sh")
        .arg(&script)
        .arg("30")
        .run()?
        .expect_code(0);
    let report = Document::read(&file)?;
    report.assert_ledger_closes();
    // The last image's are no more than one image has.
    let live: i64 = report.stacks().iter().map(|stack| stack.number("live_blocks")).sum();
    let [allocs, ..] = report.counts();
    assert!(live <= allocs / 31, "{live} of {allocs} blocks live");
    Ok(())
}

/// The kernel fires probes only while the task that they were set for has the address space. So when the main
/// thread ends they are set again for another, and the report says that something may be missing.
#[test]
fn the_main_thread_ends_and_others_go_on() -> Result<()> {
    let Some((mut target, mut memtrace, program)) = start(&["main-exits"])? else { return Ok(()) };
    target.send("go\n")?;
    target.expect("the main thread has ended")?;
    memtrace.says("the probes are set again")?;
    target.send("more\n")?;
    let own = own_counts(&mut target)?;
    let report = finish(target, memtrace)?;
    let traced = own_of(&report, &program);
    // 500 before, 500 in between, and 500 when the probes were there again.
    assert!((1000..=1500).contains(&traced[0]), "{traced:?} of {own:?}");
    assert_eq!(report.number("/ledger/interruptions"), 1);
    assert_incomplete_but_closed(&report);
    Ok(())
}

/// An execve by another thread replaces the main one, with the same consequence.
#[test]
fn execve_by_another_thread() -> Result<()> {
    let Some((mut target, mut memtrace, _)) = start(&["exec-from-thread", "reuse"])? else {
        return Ok(());
    };
    target.send("go\n")?;
    target.expect("ready")?;
    memtrace.says("the probes are set again")?;
    target.send("go\n")?;
    let own = own_counts(&mut target)?;
    let report = finish(target, memtrace)?;
    let new: i64 = report.counts()[1];
    assert_eq!(new, own[1], "frees: all of the new image, none of the old");
    assert!(report.number("/ledger/interruptions") >= 1);
    assert_incomplete_but_closed(&report);
    Ok(())
}

fn exact(scenario: &str) -> Result<()> {
    exact_report(scenario).map(drop)
}

/// Everything is recorded, and nothing is lost.
fn exact_report(scenario: &str) -> Result<Option<Document>> {
    let Some((report, own, program)) = attached(scenario)? else { return Ok(None) };
    assert_eq!(own_of(&report, &program), own, "memtrace, and the program itself");
    report.assert_ledger_closes();
    let live: i64 = report.stacks().iter().map(|stack| stack.number("live_bytes")).sum();
    let survivors = report.stacks().into_iter().flat_map(|stack| stack.survivors());
    assert_eq!(survivors.map(|(_, _, bytes)| bytes).sum::<i64>(), live);
    Ok(Some(report))
}

fn attached(scenario: &str) -> Result<Option<(Document, [i64; 4], Program)>> {
    attached_to(&[scenario])
}

fn attached_to(arguments: &[&str]) -> Result<Option<(Document, [i64; 4], Program)>> {
    let Some((mut target, memtrace, program)) = start(arguments)? else { return Ok(None) };
    target.send("go\n")?;
    if arguments.len() > 1 {
        target.expect("ready")?;
        target.send("go\n")?;
    }
    let own = own_counts(&mut target)?;
    Ok(Some((finish(target, memtrace)?, own, program)))
}

fn start(arguments: &[&str]) -> Result<Option<(Target, Running, Program)>> {
    if cannot_trace(&["cc"]) {
        return Ok(None);
    }
    let program = Program::compile("lifecycle.c", &FLAGS)?;
    let target = program.start(arguments)?;
    let mut memtrace = Memtrace::attach(target.pid()).args("-i 1h --format json").start()?;
    memtrace.attached()?;
    Ok(Some((target, memtrace, program)))
}

/// Stops the trace before the target ends, so that what its end frees is not in question.
fn finish(mut target: Target, memtrace: Running) -> Result<Document> {
    memtrace.signal(Signal::INT)?;
    let report = memtrace.finish()?.document()?;
    target.send("end\n")?;
    assert!(target.wait()?.success());
    Ok(report)
}

#[track_caller]
fn assert_incomplete_but_closed(report: &Document) {
    let ledger = report.at("/ledger");
    assert_eq!(ledger["complete"], false, "{ledger:#}");
    assert_eq!(ledger["allocs"]["unaccounted"], 0, "{ledger:#}");
    assert_eq!(ledger["frees"]["unaccounted"], 0, "{ledger:#}");
}

/// Allocations, frees, allocated and freed bytes of blocks that the program itself asked for: the C library's own
/// for new threads are others.
fn own_of(report: &Document, program: &Program) -> [i64; 4] {
    let mut sum = [0; 4];
    for stack in report.stacks() {
        if stack.module() == program.path().to_string_lossy() {
            let (blocks, bytes) = (stack.number("alloc_blocks"), stack.number("alloc_bytes"));
            sum[0] += blocks;
            sum[1] += blocks - stack.number("live_blocks");
            sum[2] += bytes;
            sum[3] += bytes - stack.number("live_bytes");
        }
    }
    sum
}

fn own_counts(target: &mut Target) -> Result<[i64; 4]> {
    let line = target.expect("allocs=")?;
    let field = |name: &str| -> Result<i64> {
        let mut fields = line.split_whitespace().filter_map(|field| field.split_once('='));
        let (_, value) = fields.find(|(field, _)| *field == name).context("a field is missing")?;
        Ok(value.parse()?)
    };
    Ok([field("allocs")?, field("frees")?, field("alloc_bytes")?, field("free_bytes")?])
}
