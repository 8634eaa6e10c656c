//! `--until-stable`: the run goes on as long as a stack grows twice running, or gives up.

use anyhow::{Context as _, Result};
use memtrace_tests::{Document, Finished, Memtrace, Program, cannot_trace};

const FLAGS: [&str; 2] = ["-O1", "-fno-builtin"];

/// Nothing that the program has rounds for.
const ALWAYS: i64 = 1000;

#[test]
fn a_program_that_warms_up() -> Result<()> {
    let Some((finished, program)) = attached(4, 20, "--mark-fn mark --format json")? else {
        return Ok(());
    };
    let report = finished.document()?;
    report.assert_ledger_closes();
    // It grew in four; the fifth is the first after which nothing has grown in both of the last two.
    assert_eq!(report.at("/stability/stable"), true);
    assert_eq!(report.number("/stability/iterations"), 5);
    assert_eq!(report.at("/stability/growers"), &serde_json::json!([]));
    assert_eq!(report.whole_iterations(), 5);
    let (line, _) = program.line_of("kept at first")?;
    let stacks = report.stacks_at(program.source(), line);
    assert_eq!(stacks.first().context("no stack")?.growth_bytes(), 4000);
    Ok(())
}

#[test]
fn a_program_that_leaks() -> Result<()> {
    let marks = "--mark-fn mark --max-iterations 6 --format json";
    let Some((finished, program)) = attached(ALWAYS, 8, marks)? else { return Ok(()) };
    let report = finished.document()?;
    assert_eq!(report.at("/stability/stable"), false);
    assert_eq!(report.number("/stability/iterations"), 6);
    // What goes up and down does not grow twice running.
    assert_eq!(growers(&report, &program)?, 1);
    Ok(())
}

#[test]
fn in_words() -> Result<()> {
    let marks = "--mark-fn mark --max-iterations 3";
    let Some((finished, program)) = attached(ALWAYS, 4, marks)? else { return Ok(()) };
    finished.expect_code(0);
    let said = "Not stable after 3 measured iterations: 1 stack grew in both of the last two";
    assert!(finished.stdout.contains(said), "{}", finished.stdout);
    let (line, _) = program.line_of("kept at first")?;
    let place = format!("warms_up.c:{line}\n");
    let after = finished.stdout.split(said).nth(1).unwrap_or_default();
    assert!(
        after.lines().nth(1).is_some_and(|next| format!("{next}\n").ends_with(&place)),
        "{after}"
    );
    Ok(())
}

/// By the clock: nothing happens at all, so the second iteration is the last.
#[test]
fn an_idle_program_by_the_clock() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = Program::compile("warms_up.c", &FLAGS)?;
    let target = program.start(&["0"])?;
    let clock = "--until-stable -i 50ms --format json";
    let report = Memtrace::attach(target.pid()).args(clock).run()?.document()?;
    assert_eq!(report.at("/stability/stable"), true);
    assert_eq!(report.whole_iterations(), 2);
    Ok(())
}

/// The rest of the command runs untraced, and its status is passed on.
#[test]
fn under_exec() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = Program::compile("warms_up.c", &FLAGS)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report");
    let options = ["exec", "--until-stable", "--mark-fn", "mark", "--format", "json", "-o"];
    let command = [program.path().as_os_str(), "2".as_ref()];
    let traced = Memtrace::new(options).arg(&file).arg("--").words(command);
    let mut target = traced.into_target()?;
    target.expect("ready")?;
    for _ in 0..10 {
        target.send("\n")?;
        target.expect("round")?;
    }
    assert!(target.wait()?.success());
    let report = Document::read(&file)?;
    assert_eq!((report.at("/stability/stable"), report.whole_iterations()), (&true.into(), 3));
    Ok(())
}

/// Each run leaves the same behind: two that were compared are enough.
#[test]
fn runs_of_a_command() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    let command = "exec --until-stable --runs 9 --format json -o - -- true";
    let report = Memtrace::new(command.split(' ')).run()?.document()?;
    report.assert_ledger_closes();
    assert_eq!((report.at("/stability/stable"), report.whole_iterations()), (&true.into(), 3));
    Ok(())
}

/// Traces a program that grows in the first `growing` of so many rounds.
fn attached(growing: i64, rounds: usize, options: &str) -> Result<Option<(Finished, Program)>> {
    if cannot_trace(&["cc"]) {
        return Ok(None);
    }
    let program = Program::compile("warms_up.c", &FLAGS)?;
    let mut target = program.start(&[&growing.to_string()])?;
    let mut memtrace =
        Memtrace::attach(target.pid()).args("--until-stable").args(options).start()?;
    memtrace.attached()?;
    for _ in 0..rounds {
        target.send("\n")?;
        target.expect("round")?;
    }
    Ok(Some((memtrace.finish()?, program)))
}

/// How many stacks still grew; the first of them is the leak.
fn growers(report: &Document, program: &Program) -> Result<usize> {
    let growers = report.at("/stability/growers").as_array().context("no list")?;
    let first = growers.first().and_then(|id| id.as_str()).context("no grower")?;
    let (line, _) = program.line_of("kept at first")?;
    let leak = report.stacks_at(program.source(), line);
    assert_eq!(leak.first().context("no leak")?.id(), first);
    Ok(growers.len())
}
