//! Blocks that are freed in the iteration they were born in, on a program that has a known number of them.

use anyhow::Result;
use memtrace_tests::{Memtrace, Program, cannot_trace};

const ROUNDS: i64 = 6;

#[test]
fn freed_in_the_iteration_of_their_birth() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = Program::compile("temporary.c", &["-O1", "-fno-builtin"])?;
    let mut target = program.start(&[&ROUNDS.to_string()])?;
    let marks = format!("--mark-fn mark -n {ROUNDS} --format json");
    let mut memtrace = Memtrace::attach(target.pid()).args(&marks).start()?;
    memtrace.attached()?;
    target.send("\n")?;
    let report = memtrace.finish()?.document()?;
    report.assert_ledger_closes();
    for (iteration, round) in report.iterations().iter().take(ROUNDS as usize).zip(0_i64..) {
        // Two of three enlargements free a block of the same round, the first one that of the round before.
        let enlarged = 2 * 1000 * round + 100 + 200;
        assert_eq!(iteration["temporary_blocks"], 1000 + 2);
        assert_eq!(iteration["temporary_bytes"], 1000 * 100 + enlarged);
        let rates = ["alloc_blocks", "alloc_bytes"].map(|field| {
            let count = iteration[field].as_f64().unwrap_or_default();
            let seconds = iteration["duration_ns"].as_f64().unwrap_or_default() / 1e9;
            let rate = iteration[format!("{field}_per_second")].as_f64().unwrap_or_default();
            (count / seconds, rate)
        });
        assert!(
            rates
                .iter()
                .all(|(expected, rate)| *rate > 0.0 && (expected / rate - 1.0).abs() < 1e-9)
        );
    }
    for (comment, blocks, bytes) in [
        ("freed at once", ROUNDS * 1000, ROUNDS * 100_000),
        ("freed in the next round", 0, 0),
        ("enlarged thrice", ROUNDS * 2, 1000 * ROUNDS * (ROUNDS - 1) + ROUNDS * 300),
    ] {
        let (line, _) = program.line_of(comment)?;
        let stacks = report.stacks_at(program.source(), line);
        let temporary = |stack: &memtrace_tests::Stack<'_>| {
            (stack.number("temporary_blocks"), stack.number("temporary_bytes"))
        };
        assert_eq!(
            stacks.iter().map(temporary).collect::<Vec<_>>(),
            [(blocks, bytes)],
            "{comment}"
        );
    }
    Ok(())
}
