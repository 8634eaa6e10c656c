//! How soon memtrace is attached, and that the target doesn't notice.

use anyhow::{Context as _, Result};
use memtrace_tests::{Memtrace, Program, cannot_trace, start_time};
use rustix::process::Signal;

/// Attempts; the machine may be busy during some.
const TRIES: usize = 5;

/// Seconds from the start of memtrace to "attached", as it says itself.
const LIMIT: f64 = 0.5;

#[test]
fn attaching_is_quick_and_leaves_the_process_as_it_was() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = Program::compile("leak.c", &["-O1", "-fno-omit-frame-pointer", "-fno-builtin"])?;
    let mut target = program.start(&["1000000", "wait"])?;
    let started = start_time(target.pid())?;
    let mut times = Vec::new();
    for _ in 0..TRIES {
        let mut memtrace = Memtrace::attach(target.pid()).start()?;
        let line = memtrace.attached()?;
        assert!(line.contains(&format!(
            "attached to {} ({})",
            target.pid(),
            program.path().display()
        )));
        times.push(seconds(&line)?);
        target.send("\n\n")?;
        memtrace.signal(Signal::INT)?;
        memtrace.finish()?.expect_code(0);
        assert!(target.is_running()?);
        assert_eq!(start_time(target.pid())?, started);
    }
    println!("attached after {times:?} s");
    let best = times.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(best <= LIMIT, "attached after {times:?} s");
    Ok(())
}

/// "attached to … in 0.13 s".
fn seconds(line: &str) -> Result<f64> {
    let (_, time) = line.rsplit_once(" in ").with_context(|| line.to_owned())?;
    Ok(time.strip_suffix(" s").with_context(|| line.to_owned())?.parse()?)
}
