//! What ends an iteration, of every kind, and that each mark cuts where it was made.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{
    Book, ControlFifos, Counts, Document, Memtrace, Program, Target, cannot_trace, in_full, skip,
    until,
};
use rustix::process::Signal;

const FLAGS: [&str; 2] = ["-O1", "-fno-builtin"];

fn obedient() -> Result<Program> {
    Program::compile("obedient.c", &FLAGS)
}

fn obey(target: &mut Target, line: &str) -> Result<()> {
    target.send(&format!("{line}\n"))?;
    target.expect("done").map(drop)
}

/// Trigger, label, and blocks allocated, of each iteration that a mark ended.
fn told(report: &Document) -> Vec<(&str, Option<&str>, i64)> {
    let whole = report.iterations().iter().filter(|iteration| iteration["partial"] == false);
    whole
        .map(|iteration| {
            let trigger = iteration["trigger"].as_str().unwrap_or_default();
            let blocks = iteration["alloc_blocks"].as_i64().unwrap_or_default();
            (trigger, iteration["label"].as_str(), blocks)
        })
        .collect()
}

#[test]
fn all_kinds_together() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let mut fifos = ControlFifos::make()?;
    let mut target = obedient()?.start(&[])?;
    let mut memtrace = Memtrace::attach(target.pid())
        .args("--debug --mark-fn mark_iteration -n 6 --control")
        .arg(fifos.argument())
        .start()?;
    memtrace.attached()?;
    obey(&mut target, "+ 1 100")?;
    fifos.say("snapshot first batch")?;
    obey(&mut target, "+ 2 100")?;
    obey(&mut target, "m")?;
    obey(&mut target, "+ 3 100")?;
    obey(&mut target, "c")?;
    memtrace.reports("Net memory change: 300 B")?;
    obey(&mut target, "+ 4 100")?;
    memtrace.signal(Signal::USR2)?;
    memtrace.reports("Net memory change: 400 B")?;
    obey(&mut target, "+ 5 100")?;
    fifos.say("snapshot")?;
    obey(&mut target, "+ 6 100")?;
    fifos.say("snapshot the last")?;
    obey(&mut target, "+ 7 100")?;
    let finished = memtrace.finish()?;
    let rows: Vec<_> = finished
        .expect_code(0)
        .stdout
        .lines()
        .skip_while(|line| !line.contains("Allocs"))
        .skip(1)
        .take(6)
        .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let marks: Vec<_> = rows.iter().map(|row| row.last().map_or("", String::as_str)).collect();
    assert_eq!(marks, ["batch", "usdt", "mark_fn", "signal", "control", "last"], "{rows:?}");
    Ok(())
}

/// The same in the document, by the target's own probe alone: nothing has to be asked for.
#[test]
fn the_target_s_own_probe() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let mut target = obedient()?.start(&[])?;
    let mut memtrace = Memtrace::attach(target.pid()).args("--format json").start()?;
    memtrace.attached()?;
    for blocks in 1..=7 {
        obey(&mut target, &format!("+ {blocks} 100"))?;
        obey(&mut target, "m")?;
    }
    memtrace.signal(Signal::INT)?;
    let report = memtrace.finish()?.document()?;
    let expected: Vec<_> = (1..=7).map(|blocks| ("usdt", None, blocks)).collect();
    assert_eq!(told(&report), expected);
    assert!(report.at("/settings/interval_ns").is_null(), "no clock beside it");
    assert!(report.at("/settings/iterations").is_null());
    report.assert_ledger_closes();
    Ok(())
}

/// The kernel raises the semaphore of a probe that has one, and lowers it again: nothing is left in the target.
#[test]
fn a_probe_behind_a_semaphore() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let mut target = obedient()?.start(&[])?;
    for _ in 0..2 {
        let mut memtrace = Memtrace::attach(target.pid()).args("--format json").start()?;
        memtrace.attached()?;
        for blocks in 1..=3 {
            obey(&mut target, &format!("+ {blocks} 100"))?;
            obey(&mut target, "g")?;
        }
        memtrace.signal(Signal::INT)?;
        let report = memtrace.finish()?.document()?;
        assert_eq!(told(&report), [("usdt", None, 1), ("usdt", None, 2), ("usdt", None, 3)]);
        target.send("s\n")?;
        target.expect("semaphore 0")?;
    }
    Ok(())
}

#[test]
fn the_probe_of_a_library_that_is_loaded_later() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let library = Program::compile("usdt_library.c", &["-O1", "-shared", "-fPIC"])?;
    let program = Program::compile("usdt_loader.c", &["-O1", "-ldl"])?;
    let library = library.path().to_str().context("no text")?;
    let mut target = program.start(&[library])?;
    let mut memtrace =
        Memtrace::attach(target.pid()).args("-i 1h -v --sync-dlopen --format json").start()?;
    memtrace.attached()?;
    target.send("load\n")?;
    memtrace.says("marking at memtrace:iteration")?;
    target.send("five\n")?;
    target.expect("done")?;
    memtrace.signal(Signal::INT)?;
    let report = memtrace.finish()?.document()?;
    let triggers: Vec<_> = told(&report).into_iter().map(|(trigger, ..)| trigger).collect();
    assert_eq!(triggers, ["usdt"; 5]);
    Ok(())
}

#[test]
fn a_probe_in_rust() -> Result<()> {
    if cannot_trace(&["rustc"]) {
        return Ok(());
    }
    let Some(program) = rust_usdt()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    Memtrace::new(["exec", "--format", "json", "-o"])
        .arg(&file)
        .arg("--")
        .arg(program)
        .arg("4")
        .run()?
        .expect_code(0);
    let report = Document::read(&file)?;
    assert_eq!(report.whole_iterations(), 4);
    for (trigger, _, blocks) in &told(&report)[1..] {
        assert_eq!((*trigger, *blocks), ("usdt", 100));
    }
    let growth: Vec<_> = report.growers().iter().map(|stack| stack.growth_bytes()).collect();
    assert_eq!(growth.first(), Some(&400_000));
    Ok(())
}

/// `None` where the crate can't be had, having said so.
fn rust_usdt() -> Result<Option<PathBuf>> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rust-usdt");
    let made = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/rust-usdt/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .output()?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        // Without a network there is no crate; all else is the test's fault.
        let offline = ["download", "network", "resolve host", "registry"];
        ensure!(offline.iter().any(|sign| said.contains(sign)), "{said}");
        skip(&format!("the crate probe can't be had: {said}"));
        return Ok(None);
    }
    Ok(Some(target.join("release/rust-usdt")))
}

/// On a terminal, which `script` makes: Enter is a mark, whatever was typed before it.
#[test]
fn enter_on_a_terminal() -> Result<()> {
    if cannot_trace(&["cc", "script"]) {
        return Ok(());
    }
    let mut target = obedient()?.start(&[])?;
    let line = Memtrace::attach(target.pid()).args("-i 1h -n 3 --debug").command_line();
    let line: Vec<_> = line.iter().map(|word| word.to_string_lossy()).collect();
    let mut terminal =
        Target::start(Command::new("script").args(["-qec", &line.join(" "), "/dev/null"]))?;
    terminal.expect("attached to")?;
    for (blocks, keys) in (1..).zip(["\n", "some text\n", "\n"]) {
        obey(&mut target, &format!("+ {blocks} 100"))?;
        terminal.send(keys)?;
        terminal.expect("Raw peak usage")?;
        terminal.expect(&format!("{} blocks: ", blocks * (blocks + 1) / 2))?;
    }
    terminal.expect("Allocs")?;
    for blocks in 1..=3 {
        let row = terminal.expect("key")?;
        assert!(row.contains(&format!(" {blocks} ")), "{row}");
    }
    assert!(terminal.wait()?.success());
    target.close_input();
    Ok(())
}

/// A function by its name as people write it, or as the linker has it. (Which names there are is tested beside the code.)
#[test]
fn functions_by_name() -> Result<()> {
    if cannot_trace(&["cc", "c++", "rustc"]) {
        return Ok(());
    }
    let cpp = Program::compile("names.cc", &["-O1"])?;
    let rust = Program::compile("names.rs", &["-O"])?;
    let cases = [(&cpp, "_ZN4shop4Cart8checkoutEi"), (&rust, "names::shop::checkout")];
    // Side by side: each of them waits for the kernel most of the time.
    thread::scope(|scope| {
        let runs = cases.map(|(program, name)| (name, scope.spawn(|| marks_at(program, name))));
        for (name, run) in runs {
            let marks = run.join().map_err(|_| anyhow::anyhow!("it panicked"))?;
            assert_eq!(marks.with_context(|| name.to_owned())?, 3, "{name}");
        }
        Ok(())
    })
}

/// How many marks a program makes by a function, which is looked for in its own object only.
fn marks_at(program: &Program, function: &str) -> Result<usize> {
    let object = program.path().file_name().context("a file")?.to_string_lossy();
    Ok(run(program, &format!("{function}@{object}"))?.whole_iterations())
}

fn run(program: &Program, function: &str) -> Result<Document> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    Memtrace::new(["exec", "--format", "json", "--mark-fn", function, "-o"])
        .arg(&file)
        .arg("--")
        .arg(program.path())
        .run()?
        .expect_code(0);
    Document::read(&file)
}

#[test]
fn near_names_of_a_function_that_is_not_there() -> Result<()> {
    if cannot_trace(&["c++"]) {
        return Ok(());
    }
    let program = Program::compile("names.cc", &["-O1"])?;
    let typed = "shop::Cart::chekout";
    let finished = Memtrace::new(["exec", "--mark-fn", typed, "--"]).arg(program.path()).run()?;
    finished.expect_code(125);
    let talk = &finished.stderr;
    assert!(talk.contains(&format!("--mark-fn {typed}: ")), "{talk}");
    assert!(talk.contains("shop::Cart::checkout"), "{talk}");
    Ok(())
}

/// Eight threads allocate, and marks come a thousand times a second. Each iteration has to have exactly what the program
/// has in its own books.
#[test]
fn no_block_is_in_the_wrong_iteration() -> Result<()> {
    const THREADS: u64 = 8;
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let iterations: usize = if in_full() { 9_000 } else { 3_000 };
    let program = Program::compile("marker.c", &["-O1", "-fno-builtin", "-pthread"])?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("book");
    let file_name = file.to_str().context("no text")?;
    let mut target =
        program.start(&[&THREADS.to_string(), "1000", &iterations.to_string(), file_name])?;
    let mut memtrace = Memtrace::attach(target.pid())
        .args("--mark-fn mark_iteration --strict --format json")
        .start()?;
    memtrace.attached()?;
    target.send("go\n")?;
    let took = target.expect("done")?;
    memtrace.signal(Signal::INT)?;
    let report = memtrace.finish()?.document()?;
    assert!(target.wait()?.success());

    let book = Book::read(&file)?;
    assert_eq!(book.marks.len(), iterations);
    assert_eq!(report.whole_iterations(), iterations, "marks that were seen");
    assert_eq!(report.number("/ledger/marks_merged"), 0);
    let mut before = Counts::default();
    let (mut blocks, mut wrong) = (0, 0);
    for (index, mark) in book.marks.iter().enumerate() {
        let own = mark.since(std::mem::replace(&mut before, *mark));
        let own = [own.allocs, own.frees, own.alloc_bytes, own.free_bytes];
        blocks += own[0];
        let seen = report.counts_of(index);
        wrong += i64::from(seen != own);
        assert_eq!(seen, own, "iteration {}", index + 1);
    }
    println!("{iterations} marks ({took}), {blocks} blocks, {wrong} iterations with another count");
    assert!(blocks > 10 * iterations as i64, "{blocks} blocks are too few to go wrong");
    report.assert_ledger_closes();
    Ok(())
}

/// However many iterations there are, memtrace needs no more memory than for those that it keeps one by one, loses no
/// mark, and its totals are exact.
#[test]
fn iterations_without_end() -> Result<()> {
    const RATE: i64 = 2_000;
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let iterations: i64 = if in_full() { 100_000 } else { 20_000 };
    let program = Program::compile("many.c", &FLAGS)?;
    let mut target = program.start(&[&RATE.to_string(), &iterations.to_string()])?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let mut memtrace = Memtrace::attach(target.pid())
        .args("--mark-fn mark_iteration --strict --format json -o")
        .arg(&file)
        .start()?;
    memtrace.attached()?;
    let at_start = resident(memtrace.pid())?;
    target.send("go\n")?;
    let took = target.expect("done")?;
    let at_end = resident(memtrace.pid())?;
    let before = std::time::Instant::now();
    memtrace.signal(Signal::INT)?;
    until("the report is written", || Document::read(&file).is_ok())?;
    let reported = before.elapsed();
    memtrace.finish()?.expect_code(0);
    target.close_input();

    let report = Document::read(&file)?;
    let marked: Vec<_> =
        report.iterations().iter().filter(|iteration| iteration["partial"] == false).collect();
    let seen: i64 = marked.iter().filter_map(|iteration| iteration["merged"].as_i64()).sum();
    assert_eq!(seen, iterations, "marks");
    assert_eq!(report.number("/ledger/marks_merged"), 0);
    assert!(marked.len() <= 10_000, "{} entries", marked.len());
    assert_eq!(report.counts()[..2], [3 * iterations, 2 * iterations]);
    assert_eq!(report.number("/totals/net_bytes"), 16 * iterations);
    let (line, _) = program.line_of("the leak")?;
    let leaks = report.stacks_at(program.source(), line);
    let born: i64 = leaks[0].survivors().iter().map(|(_, blocks, _)| blocks).sum();
    assert_eq!((born, leaks[0].verdict()), (iterations, "growing"));
    report.assert_ledger_closes();
    println!(
        "{iterations} iterations ({took}): {at_start} KiB, then {at_end} KiB; reported in {reported:?}"
    );
    // 10 000 entries for the table and for each of the stacks; nothing beyond.
    assert!(at_end - at_start < 12 << 10, "{at_start} KiB grew to {at_end} KiB");
    Ok(())
}

/// Resident memory of a process, in KiB.
fn resident(pid: u32) -> Result<i64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?.parse()?)
}
