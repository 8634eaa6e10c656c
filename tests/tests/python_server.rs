//! A real web application under load, with a leak in one of its views.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{ControlFifos, Document, Flask, Memtrace, Target, cannot_trace, start_time};

const PYTHON: &str = "/usr/bin/python3";

const CLIENTS: usize = 2;

/// Rounds of requests from one mark to the next.
const ROUNDS: usize = 100;

/// Iterations, the one of warm-up among them.
const BATCHES: usize = 5;

/// What the view keeps of each request: 2000 bytes in a `bytes` object, whose head and final zero are 33 bytes.
const KEPT: i64 = 2033;

/// Where the leak is.
fn leaking_line() -> Result<u64> {
    let source = fs::read_to_string(Flask::source())?;
    let line = source.lines().position(|line| line.contains("# the leak"));
    Ok(line.context("no leak")? as u64 + 1)
}

/// The view's line is responsible for the stack that grew most.
fn assert_view_is_first(report: &Document) -> Result<()> {
    let first = *report.stacks().first().context("no stacks")?;
    let source = Flask::source().display().to_string();
    assert_eq!(first.line(), Some((source, leaking_line()?)));
    let frame = first.responsible().context("nobody is responsible")?;
    assert_eq!((&frame["language"], &frame["function"]), (&"python".into(), &"order".into()));
    assert_eq!(frame["source"], "receipt = bytes(2000)  # the leak");
    Ok(())
}

/// Rounds of requests by several clients at once.
fn load(shop: &Flask, rounds: usize) -> Result<()> {
    let address = shop.address;
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let client = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= rounds {
                    return anyhow::Ok(());
                }
                Flask::ask(address, number)?;
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok(())
    })
}

/// Attached by its pid: all answers are right, before, during and after the trace, and the view's leak is what grew
/// most, to the byte.
#[test]
fn a_leaking_view_is_found() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    let Some(packages) = Flask::packages(Path::new(PYTHON))? else { return Ok(()) };
    let mut python = Command::new(PYTHON);
    python.arg("-B").arg(Flask::source()).env("PYTHONPATH", packages);
    let mut shop = Flask::listening(Target::start(&mut python)?)?;
    let started = start_time(shop.process.pid())?;
    load(&shop, ROUNDS)?;

    let mut fifos = ControlFifos::make()?;
    let mut memtrace = Memtrace::attach(shop.process.pid())
        .args("-w 1 --format json --control")
        .arg(fifos.argument())
        .start()?;
    memtrace.attached()?;
    for batch in 0..BATCHES {
        load(&shop, ROUNDS)?;
        fifos.say(&format!("snapshot batch {batch}"))?;
    }
    fifos.say("stop")?;
    let report = memtrace.finish()?.document()?;
    load(&shop, ROUNDS)?;
    assert!(shop.process.is_running()?);
    assert_eq!(start_time(shop.process.pid())?, started);

    report.assert_ledger_closes();
    assert_eq!(report.whole_iterations(), BATCHES);
    let rounds = ROUNDS as i64;
    let leaks = report.stacks().into_iter().filter(|stack| {
        stack.net().iter().take(BATCHES).all(|net| *net == (rounds * KEPT, rounds))
    });
    let leaks: Vec<_> = leaks.collect();
    ensure!(leaks.len() == 1, "{} stacks with the leak's bytes: {leaks:#?}", leaks.len());
    assert_eq!(leaks[0].verdict(), "growing");
    assert_eq!(leaks[0].growth_bytes(), (BATCHES as i64 - 1) * rounds * KEPT);
    assert_eq!(report.stacks()[0].id(), leaks[0].id(), "it grew most");
    assert_view_is_first(&report)
}

/// Each call of a view is an iteration, though Flask has had hold of the view since before the hook could see it.
#[test]
fn a_view_is_marked_from_outside() -> Result<()> {
    const CALLS: usize = 12;
    if cannot_trace(&[]) {
        return Ok(());
    }
    let Some(packages) = Flask::packages(Path::new(PYTHON))? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let memtrace = Memtrace::new(["exec", "-w", "1", "--format", "json", "-o"])
        .arg(&file)
        // Not about objects: an import of this size makes half a million of them.
        .args("--python-objects off --mark-py __main__:order --mark-every 2 -- /usr/bin/python3 -B")
        .arg(Flask::source())
        .env("PYTHONPATH", &packages.display().to_string());
    let mut shop = Flask::listening(memtrace.into_target()?)?;
    load(&shop, CALLS)?;
    shop.process.close_input();
    assert_eq!(shop.process.wait()?.code(), Some(0));
    let report = Document::read(&file)?;
    report.assert_ledger_closes();
    assert_eq!(report.whole_iterations(), CALLS / 2);
    for iteration in &report.iterations()[..CALLS / 2] {
        assert_eq!(iteration["label"], "__main__:order", "{iteration:#}");
        assert_eq!(iteration["trigger"], "control", "{iteration:#}");
    }
    Ok(())
}
