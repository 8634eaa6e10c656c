//! Whether a report says what is known of the program.

use std::fs;

use anyhow::{Context, Result, ensure};
use memtrace_tests::{Document, Known};
use serde_json::Value;

use super::programs::{Program, python_script};
use super::results::Outcome;

/// How often each program leaks.
pub(super) const ITERATIONS: usize = 6;

/// Bytes and blocks that it leaks each time.
const LEAK: (i64, i64) = (100_000, 100);

/// Both ways to trace a program.
pub(super) const MODES: [&str; 2] = ["exec", "pid"];

/// Threads of the last run, and for how many ms they allocate.
pub(super) const THREADS: &str = "64,10000";

/// Its mode.
pub(super) const MANY_THREADS: &str = "threads";

/// Checks the run of many threads: each stack is one that its program knows, to the byte, and as often.
pub(super) fn check_threads(outcome: &Outcome) -> Result<()> {
    ensure!(outcome.status == "0", "memtrace exited with {}", outcome.status);
    let known = Known::parse(&outcome.known)?;
    let report = Document::parse(&outcome.report)?;
    ensure!(*report.at("/ledger/complete") == true, "the ledger is not complete");
    ensure!(!known.is_empty(), "the program told nothing of its stacks");
    for case in known.compare(&report) {
        ensure!(case.wrong.is_empty(), "{}", case.wrong);
        ensure!(case.blocks.keys().eq(["complete"]), "{:?}", case.blocks);
    }
    let stacks = report.stacks();
    let own = stacks.iter().filter(|stack| stack.module() == "/threads/concurrency");
    let nowhere = stacks.iter().filter(|stack| stack.module().is_empty());
    let (own, nowhere) = (own.count(), nowhere.count());
    ensure!(nowhere == 0, "{nowhere} stacks begin nowhere");
    ensure!(own == known.len(), "{own} stacks instead of {}", known.len());
    Ok(())
}

/// The mode of Python's run.
pub(super) const POOLS: &str = "pools";

/// Checks the run of Python: each of the two lines has the pools that it fills, and stacks have Python's frames.
pub(super) fn check_python(outcome: &Outcome) -> Result<()> {
    // Objects that the script keeps, and bytes of the blocks they lie in.
    const KEPT: [(&str, i64); 2] =
        [("# the smaller ones", 30_000 * 240), ("# the larger ones", 7_500 * 464)];
    ensure!(outcome.status == "0", "memtrace exited with {}", outcome.status);
    let report = Document::parse(&outcome.report)?;
    ensure!(*report.at("/ledger/complete") == true, "the ledger is not complete");
    let frames = report.at("/unwinding/python/complete_ratio").as_f64();
    ensure!(frames == Some(1.0), "of Python's frames there are {frames:?}");
    let source = fs::read_to_string(python_script())?;
    for (comment, kept) in KEPT {
        let number = source.lines().position(|line| line.ends_with(comment)).map(|at| at + 1);
        let lines = list(report.at("/python_pools/lines"));
        let line = lines.iter().find(|line| line["line"].as_u64() == number.map(|it| it as u64));
        let bytes = line.and_then(|line| line["bytes"].as_i64()).unwrap_or(0);
        // The first pool may have been there already.
        ensure!((bytes - kept).abs() < kept / 50, "{comment}: {bytes} bytes instead of {kept}");
    }
    Ok(())
}

/// Checks one run. The leak's line must have grown by exactly the leak in each iteration, and the ledger be complete.
/// Attached, before the first iteration, nothing else may have grown; under `exec` the program's start has, too.
pub(super) fn check(outcome: &Outcome, program: &Program) -> Result<()> {
    let source = program.source();
    check_at(outcome, &source.to_string_lossy(), program.leaking_line()?)
}

fn check_at(outcome: &Outcome, source: &str, line: u64) -> Result<()> {
    ensure!(outcome.status == "0", "memtrace exited with {}", outcome.status);
    let report: Value = serde_json::from_str(&outcome.report).context("the report is no JSON")?;
    let ledger = &report["ledger"];
    ensure!(ledger["complete"] == true, "the ledger is not complete: {ledger}");
    for side in ["allocs", "frees"] {
        ensure!(ledger[side]["unaccounted"] == 0, "the ledger does not close: {ledger}");
    }
    if outcome.mode == "exec" {
        let status = &report["target"]["exit_status"];
        ensure!(status == 0, "the program's exit status is {status}");
    }
    let partial: Vec<bool> =
        list(&report["iterations"]).iter().map(|i| i["partial"] == true).collect();
    let whole = partial.iter().filter(|partial| !**partial).count();
    ensure!(whole == ITERATIONS, "{whole} iterations instead of {ITERATIONS}");
    let grown: Vec<&Value> = list(&report["stacks"])
        .iter()
        .filter(|stack| stack["growth_bytes"].as_i64() > Some(0))
        .collect();
    let leaks: Vec<&&Value> = grown.iter().filter(|stack| is_at(stack, source, line)).collect();
    let [leak] = leaks.as_slice() else {
        anyhow::bail!("{} stacks grew at {source}:{line} instead of one", leaks.len());
    };
    let steps = list(&leak["per_iteration"]).iter().zip(&partial).filter(|(_, partial)| !**partial);
    let steps: Vec<_> =
        steps.map(|(step, _)| (step["net_bytes"].as_i64(), step["net_blocks"].as_i64())).collect();
    let wanted = vec![(Some(LEAK.0), Some(LEAK.1)); ITERATIONS];
    ensure!(steps == wanted, "the leak's (bytes, blocks) per iteration: {steps:?}");
    if outcome.mode == "pid" {
        ensure!(grown.len() == 1, "{} stacks grew instead of one", grown.len());
    }
    Ok(())
}

/// Whether this line is responsible for the stack.
fn is_at(stack: &Value, file: &str, line: u64) -> bool {
    let index = stack["responsible"].as_u64().and_then(|index| usize::try_from(index).ok());
    let frame = index.and_then(|index| stack["frames"].get(index)).unwrap_or(&Value::Null);
    frame["file"] == file && frame["line"] == line
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        let mut iterations = vec![json!({"partial": false}); ITERATIONS];
        iterations.push(json!({"partial": true}));
        let mut steps = vec![json!({"net_bytes": LEAK.0, "net_blocks": LEAK.1}); ITERATIONS];
        steps.push(json!({"net_bytes": 0, "net_blocks": 0}));
        json!({
            "target": {"exit_status": 0},
            "ledger": {"complete": true, "allocs": {"unaccounted": 0}, "frees": {"unaccounted": 0}},
            "iterations": iterations,
            "stacks": [{
                "growth_bytes": 600_000, "responsible": 1, "per_iteration": steps,
                "frames": [{"file": null, "line": null}, {"file": "leak.c", "line": 31}],
            }],
        })
    }

    fn judge(mode: &str, report: &Value) -> Result<(), String> {
        let outcome = Outcome {
            mode: mode.to_owned(),
            status: "0".to_owned(),
            report: report.to_string(),
            ..Outcome::default()
        };
        check_at(&outcome, "leak.c", 31).map_err(|error| error.to_string())
    }

    #[test]
    fn the_exact_leak_passes() {
        for mode in MODES {
            assert_eq!(judge(mode, &good()), Ok(()));
        }
    }

    #[test]
    fn anything_else_fails() {
        let spoil: [(&str, Value); 9] = [
            ("/ledger/complete", json!(false)),
            ("/ledger/frees/unaccounted", json!(1)),
            ("/target/exit_status", json!(1)),
            ("/iterations/3/partial", json!(true)),
            ("/stacks/0/per_iteration/2/net_bytes", json!(99_000)),
            ("/stacks/0/per_iteration/5/net_blocks", json!(101)),
            ("/stacks/0/frames/1/line", json!(32)),
            ("/stacks/0/responsible", json!(null)),
            ("/stacks", json!([])),
        ];
        for (place, value) in spoil {
            let mut report = good();
            *report.pointer_mut(place).expect("it is there") = value;
            assert!(judge("exec", &report).is_err(), "{place}");
        }
    }

    #[test]
    fn attached_nothing_else_grows() {
        let mut report = good();
        let mut other = report["stacks"][0].clone();
        other["frames"][1]["line"] = json!(50);
        report["stacks"].as_array_mut().expect("a list").push(other);
        assert_eq!(judge("exec", &report), Ok(()));
        assert_eq!(judge("pid", &report), Err("2 stacks grew instead of one".to_owned()));
    }
}
