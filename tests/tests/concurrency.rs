//! Many threads on few processors, each with stacks that no other has. The kernel may switch between them in the
//! middle of an unwinding: no stack must become a mixture of two.

use std::{process::Command, sync::Mutex};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{KNOWN_FILE, Known, Memtrace, Program, Stack, Target, cannot_trace, in_full};
use rustix::process::Signal;

const THREADS: usize = 64;
/// Stacks of each thread.
const STACKS: usize = 4;

/// Both tests need the machine to themselves: the one changes how the kernel switches tasks.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn threads_have_their_own_stacks() -> Result<()> {
    if cannot_trace(&["cc", "taskset"]) {
        return Ok(());
    }
    let _alone = ALONE.lock();
    every_stack_is_known()
}

/// The kernel switches tasks at any instruction of its own, too, as distributions for desktops have it.
#[test]
fn threads_have_their_own_stacks_in_a_preemptible_kernel() -> Result<()> {
    if cannot_trace(&["cc", "taskset", "unshare"]) {
        return Ok(());
    }
    let _alone = ALONE.lock();
    let Some(_full) = Preemption::full()? else { return Ok(()) };
    every_stack_is_known()
}

fn every_stack_is_known() -> Result<()> {
    let milliseconds = if in_full() { "60000" } else { "3000" };
    let known = Program::compile("known.c", &["-O2", "-fPIC", "-c"])?;
    let known = known.path().to_str().context("no text")?;
    let program = Program::compile("concurrency.c", &["-O2", "-fno-builtin", known])?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("known");
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &two_processors()?]).arg(program.path());
    command.args([&THREADS.to_string(), milliseconds]).env(KNOWN_FILE, &file);
    let mut target = Target::start(&mut command)?;
    target.expect("ready")?;
    let mut memtrace = Memtrace::attach(target.pid()).args("-i 1h --format json").start()?;
    memtrace.attached()?;
    target.send("go\n")?;
    target.expect("halfway")?;
    target.expect("done")?;
    memtrace.signal(Signal::INT)?;
    let report = memtrace.finish()?.document()?;
    target.close_input();
    ensure!(target.wait()?.success(), "the program failed");

    let known = Known::read(&file)?;
    assert_eq!(known.len(), THREADS * STACKS);
    let mut blocks = 0;
    for case in known.compare(&report) {
        assert_eq!(case.wrong, "");
        assert!(case.blocks.keys().eq(["complete"]), "{:?}", case.blocks);
        blocks += case.blocks.values().sum::<i64>();
    }
    println!("{blocks} blocks on {} stacks", known.len());
    // Nothing else has stacks but the program, and what the C library allocates for threads.
    let own = program.path().to_string_lossy();
    let others: Vec<_> = report
        .stacks()
        .into_iter()
        .filter(|stack| stack.module() == own || stack.module().is_empty())
        .collect();
    assert_eq!(
        others.len(),
        known.len(),
        "{:?}",
        others.iter().map(Stack::functions).collect::<Vec<_>>()
    );
    report.assert_ledger_closes();
    Ok(())
}

/// The first two that this process may run on, as `taskset` takes them.
fn two_processors() -> Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let mut allowed = Vec::new();
    for range in list.context("no list of processors")?.trim().split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        allowed.extend(from.parse::<u32>()?..=to.parse()?);
    }
    let two: Vec<_> = allowed.iter().take(2).map(u32::to_string).collect();
    Ok(two.join(","))
}

/// How the kernel switches between tasks; as it was, once this is dropped.
struct Preemption {
    before: String,
}

impl Preemption {
    /// Lets it switch at any time. Says why where it can't: few kernels can, so the test is not one that is skipped.
    fn full() -> Result<Option<Self>> {
        let modes = match in_debugfs("cat sched/preempt") {
            Ok(modes) => modes,
            Err(error) => {
                println!("not run: this kernel's preemption can't be read: {error:#}");
                return Ok(None);
            }
        };
        // "none voluntary (full)"
        let before = modes.split_whitespace().find_map(|mode| mode.strip_prefix('('));
        let before = before.and_then(|mode| mode.strip_suffix(')')).context(modes.clone())?;
        let preemption = Self { before: before.to_owned() };
        if let Err(error) = in_debugfs("echo full > sched/preempt") {
            println!("not run: this kernel's preemption can't be changed: {error:#}");
            return Ok(None);
        }
        println!("preemption full instead of {before}");
        Ok(Some(preemption))
    }
}

impl Drop for Preemption {
    fn drop(&mut self) {
        let back = in_debugfs(&format!("echo {} > sched/preempt", self.before));
        if let Err(error) = back {
            println!("preemption stays full: {error:#}");
        }
    }
}

/// Runs a shell command in the kernel's file system for debugging, which nobody else gets to see.
fn in_debugfs(command: &str) -> Result<String> {
    let command =
        format!("mount -t debugfs debugfs /sys/kernel/debug && cd /sys/kernel/debug && {command}");
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &command]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
