//! Programs in three languages that leak 100 blocks of 1000 bytes per iteration from one line, and free all
//! else: that line has to be reported, with exactly these numbers, and no other.

use anyhow::{Context as _, Result};
use memtrace_tests::{Document, Finished, Memtrace, Program, Stack, Target, cannot_trace, until};

const BLOCKS: i64 = 100;
const BYTES: i64 = 100_000;
const ITERATIONS: usize = 6;

/// With `exec` nothing is from before the trace, so even the first iteration has only the leak.
#[test]
fn c_under_exec() -> Result<()> {
    under_exec(c)
}

#[test]
fn cpp_under_exec() -> Result<()> {
    under_exec(cpp)
}

#[test]
fn rust_under_exec() -> Result<()> {
    under_exec(rust)
}

/// The allocator is in the program itself.
#[test]
fn c_static_under_exec() -> Result<()> {
    under_exec(c_static)
}

#[test]
fn c_attached() -> Result<()> {
    attached(c)
}

#[test]
fn cpp_attached() -> Result<()> {
    attached(cpp)
}

#[test]
fn rust_attached() -> Result<()> {
    attached(rust)
}

#[test]
fn c_static_attached() -> Result<()> {
    attached(c_static)
}

#[test]
fn c_in_words() -> Result<()> {
    in_words(c)
}

#[test]
fn cpp_in_words() -> Result<()> {
    in_words(cpp)
}

#[test]
fn rust_in_words() -> Result<()> {
    in_words(rust)
}

/// Warm-up iterations are there, but growth begins after them.
#[test]
fn warm_up_forms_the_baseline() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = c()?;
    let report = trace(&program, "--warmup 2")?.document()?;
    let warmup: Vec<_> = report.iterations().iter().map(|i| i["warmup"] == true).collect();
    assert_eq!(warmup[..ITERATIONS], [true, true, false, false, false, false]);
    assert_only_the_leak_grows(&report, &program, 4)
}

/// Every second entry of the function ends an iteration.
#[test]
fn a_mark_every_other_call() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = c()?;
    let report = trace(&program, "--mark-every 2")?.document()?;
    assert_eq!(report.whole_iterations(), ITERATIONS / 2);
    let leak = the_leak(&report, &program)?;
    let whole = &report.stacks_at(program.source(), leak)[0].net()[..ITERATIONS / 2];
    assert!(whole.iter().all(|step| *step == (2 * BYTES, 2 * BLOCKS)), "{whole:?}");
    Ok(())
}

/// `-n` counts measured iterations. Marks that come before the run has ended make no more of them.
#[test]
fn the_number_of_iterations_ends_the_run() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = c()?;
    let mut target = program.start(&["1000", "wait"])?;
    let mut running = Memtrace::attach(target.pid())
        .args("--mark-fn mark_iteration --warmup 1 -n 3 --format json")
        .start()?;
    running.attached()?;
    target.send(&"\n".repeat(8))?;
    let report = running.finish()?.document()?;
    assert_eq!(report.number("/settings/iterations"), 3);
    assert_eq!(report.whole_iterations(), 4);
    assert_only_the_leak_grows(&report, &program, 3)?;
    assert!(target.is_running()?);
    Ok(())
}

/// Under `exec` the report comes when they are complete; the command goes on, untraced, and its status is
/// waited for.
#[test]
fn the_command_outlives_its_iterations() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = c()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let mut memtrace = Memtrace::new(["exec", "--mark-fn", "mark_iteration", "-n", "3"])
        .words(["--format", "json", "-o"])
        .arg(&file)
        .arg("--")
        .arg(program.path())
        .words(["6", "wait"])
        .into_target()?;
    memtrace.send("\n\n\n")?;
    until("the report is written", || Document::read(&file).is_ok())?;
    let report = Document::read(&file)?;
    assert_only_the_leak_grows(&report, &program, 3)?;
    assert!(report.at("/target/exit_status").is_null());
    assert!(memtrace.is_running()?);
    memtrace.send("\n\n\n")?;
    memtrace.expect("done")?;
    assert!(memtrace.wait()?.success());
    Ok(())
}

fn c() -> Result<Program> {
    // The compiler must not see that a block is only freed.
    Program::compile("leak.c", &["-O1", "-fno-omit-frame-pointer", "-fno-builtin"])
}

fn c_static() -> Result<Program> {
    Program::compile("leak.c", &["-O1", "-fno-omit-frame-pointer", "-fno-builtin", "-static"])
}

fn cpp() -> Result<Program> {
    Program::compile("leak.cc", &["-O1", "-fno-omit-frame-pointer", "-std=c++17"])
}

fn rust() -> Result<Program> {
    Program::compile("leak.rs", &["-O", "-C", "force-frame-pointers=yes"])
}

fn under_exec(program: fn() -> Result<Program>) -> Result<()> {
    if cannot_trace(&["cc", "c++", "rustc"]) {
        return Ok(());
    }
    let program = program()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    Memtrace::new(["exec", "--mark-fn", "mark_iteration", "--format", "json", "-o"])
        .arg(&file)
        .arg("--")
        .arg(program.path())
        .arg(ITERATIONS.to_string())
        .run()?
        .expect_code(0);
    let report = Document::read(&file)?;
    assert_eq!(report.whole_iterations(), ITERATIONS);
    assert_eq!(report.number("/target/exit_status"), 0);
    let line = the_leak(&report, &program)?;
    let leaks = report.stacks_at(program.source(), line);
    assert_eq!(leaks.len(), 1, "one line, one stack");
    for (index, step) in leaks[0].net()[..ITERATIONS].iter().enumerate() {
        assert_eq!(*step, (BYTES, BLOCKS), "iteration {}", index + 1);
    }
    assert_eq!(leaks[0].growth_bytes(), BYTES * ITERATIONS as i64);
    assert_eq!(leaks[0].number("growth_blocks"), BLOCKS * ITERATIONS as i64);
    assert_eq!(leaks[0].verdict(), "growing");
    let survivors: Vec<_> = (1..=ITERATIONS as i64).map(|born| (born, BLOCKS, BYTES)).collect();
    assert_eq!(leaks[0].survivors(), survivors);
    report.assert_ledger_closes();
    Ok(())
}

fn attached(program: fn() -> Result<Program>) -> Result<()> {
    if cannot_trace(&["cc", "c++", "rustc"]) {
        return Ok(());
    }
    let program = program()?;
    let report = trace(&program, "")?.document()?;
    assert_only_the_leak_grows(&report, &program, ITERATIONS)
}

/// A run of all iterations, attached before the first of them.
fn trace(program: &Program, arguments: &str) -> Result<Finished> {
    let mut target = program.start(&[&ITERATIONS.to_string(), "wait"])?;
    trace_target(&mut target, &format!("--format json {arguments}"))
}

fn trace_target(target: &mut Target, arguments: &str) -> Result<Finished> {
    let mut running =
        Memtrace::attach(target.pid()).args("--mark-fn mark_iteration").args(arguments).start()?;
    running.attached()?;
    target.send(&"\n".repeat(ITERATIONS))?;
    target.expect("done")?;
    target.close_input();
    running.finish()
}

fn the_leak(report: &Document, program: &Program) -> Result<u64> {
    let (line, source) = program.line_of("the leak")?;
    let stacks = report.stacks_at(program.source(), line);
    let stack = stacks.first().with_context(|| format!("line {line} is in no stack"))?;
    let frame = stack.responsible().context("no responsible frame")?;
    assert_eq!(frame["source"].as_str().map(str::trim), Some(source.as_str()));
    Ok(line)
}

fn assert_only_the_leak_grows(report: &Document, program: &Program, measured: usize) -> Result<()> {
    let line = the_leak(report, program)?;
    let growth = BYTES * measured as i64;
    let growers = report.growers();
    assert_eq!(growers.len(), 1, "{:?}", growers.iter().map(Stack::functions).collect::<Vec<_>>());
    assert_eq!(growers[0].line(), Some((program.source().to_string_lossy().into_owned(), line)));
    assert_eq!(growers[0].growth_bytes(), growth);
    assert_eq!(growers[0].number("growth_blocks"), BLOCKS * measured as i64);
    let whole = report.whole_iterations();
    for (index, step) in growers[0].net()[..whole].iter().enumerate() {
        assert_eq!(*step, (BYTES, BLOCKS), "iteration {}", index + 1);
    }
    assert_eq!(growers[0].verdict(), "growing");
    let survivors: Vec<_> = (1..=whole as i64).map(|born| (born, BLOCKS, BYTES)).collect();
    assert_eq!(growers[0].survivors()[..whole], survivors);
    assert_eq!(report.number("/totals/growth_bytes"), growth);
    assert_eq!(report.number("/totals/freed_bytes"), 0);
    assert_eq!(report.number("/totals/net_bytes"), growth);
    report.assert_ledger_closes();
    Ok(())
}

/// The lines of the detailed report, block by block.
fn in_words(program: fn() -> Result<Program>) -> Result<()> {
    if cannot_trace(&["cc", "c++", "rustc"]) {
        return Ok(());
    }
    let program = program()?;
    let mut target = program.start(&[&ITERATIONS.to_string(), "wait"])?;
    let finished = trace_target(&mut target, "--debug")?;
    finished.expect_code(0);
    let (line, source) = program.line_of("the leak")?;
    let place =
        format!("    File \"{}\", line {line}\n      {source}\n", program.source().display());
    let growth = format!(
        "[DEBUG] Memory growth analysis:\n\
         [DEBUG] Top 10 memory growth sources:\n\
         \x20 +97.7 KiB: 100 new blocks\n\
         {place}\
         [DEBUG] Total memory growth: 97.7 KiB\n\
         [DEBUG] Total memory freed: 0 B\n\
         [DEBUG] Net memory change: 97.7 KiB\n"
    );
    let blocks = finished.stdout.matches(&growth).count();
    // Growth is told from the second iteration on.
    assert_eq!(blocks, ITERATIONS - 1, "wanted:\n{growth}\nin:\n{}", finished.stdout);
    let whole = format!(
        "[DEBUG] Top 10 memory growth sources:\n  +0.6 MiB: 600 new blocks\n{place}[DEBUG] Total memory growth: 0.6 MiB\n"
    );
    assert_eq!(
        finished.stdout.matches(&whole).count(),
        1,
        "wanted:\n{whole}\nin:\n{}",
        finished.stdout
    );
    let last = finished.stdout.lines().last().unwrap_or_default();
    assert!(last.starts_with("[DEBUG] recorded ") && last.ends_with(", nothing lost"), "{last}");
    Ok(())
}
