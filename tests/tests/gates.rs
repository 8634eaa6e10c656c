//! Limits on growth: they trip on the build that leaks and not on the mended one, also beyond a baseline, and nothing
//! that went wrong passes as kept.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{Document, Finished, Memtrace, Program, cannot_trace, memtrace_binary};

/// Above what stays in both builds (100 bytes per iteration), below the leak (10 000).
const LIMIT: &str = "1KiB";

const ITERATIONS: &str = "5";

#[test]
fn the_leak_trips_and_the_mended_build_passes() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let leaking = leaking()?;
    let (line, _) = leaking.line_of("the leak")?;
    let place = format!("{}:{line}, in serve < main", leaking.source().display());
    let gates = ["--fail-on-growth", "--fail-on-growth-per-stack"];
    let options = gates.map(|gate| format!("{gate} {LIMIT}")).join(" ");
    let tripped = exec(&leaking, &options, "0")?;
    let passed = exec(&mended()?, &options, "0")?;
    tripped.expect_code(3);
    passed.expect_code(0);
    for gate in gates {
        let said = said_of(gate, &tripped)?;
        for part in [" tripped: +9.", "over 5 iterations", "limit is 1.0 KiB", &place] {
            assert!(said.contains(part), "{part:?} is not in {said:?}");
        }
        assert!(said_of(gate, &passed)?.contains("passed"), "{}", passed.stderr);
    }
    Ok(())
}

#[test]
fn attached_as_well() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    for (program, code) in [(leaking()?, 3), (mended()?, 0)] {
        let mut target = program.start(&["1000", "0", "wait"])?;
        let mut running = Memtrace::attach(target.pid())
            .args("--mark-fn mark_iteration --warmup 1 -n 3 --fail-on-growth")
            .arg(LIMIT)
            .start()?;
        running.attached()?;
        target.send(&"\n".repeat(6))?;
        running.finish()?.expect_code(code);
        assert!(target.is_running()?);
    }
    Ok(())
}

/// The baseline is of another build, in which what stays is on another line.
#[test]
fn growth_that_the_baseline_has_is_allowed() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let (leaking, mended) = (leaking()?, mended()?);
    let folder = tempfile::tempdir()?;
    let baseline = folder.path().join("baseline.json");
    // Without a baseline, the mended build is above a limit of nothing.
    let options = format!("--format json -o {} --fail-on-growth 0", baseline.display());
    exec(&mended, &options, "0")?.expect_code(3);
    let options = format!(
        "--fail-on-growth 0 --fail-on-growth-per-stack 0 --baseline {}",
        baseline.display()
    );
    exec(&mended, &options, "0")?.expect_code(0);
    let tripped = exec(&leaking, &options, "0")?;
    tripped.expect_code(3);
    for gate in ["--fail-on-growth", "--fail-on-growth-per-stack"] {
        let said = said_of(gate, &tripped)?;
        assert!(said.contains(" tripped: +9.8 KiB per iteration beyond the baseline"), "{said}");
        assert!(said.contains("in serve < main"), "{said}");
    }
    Ok(())
}

#[test]
fn a_failing_command_s_status_wins() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let (junit, summary) = (folder.path().join("j.xml"), folder.path().join("s.md"));
    let options = format!(
        "--fail-on-growth {LIMIT} --junit {} --summary-file {}",
        junit.display(),
        summary.display()
    );
    fs::write(&summary, "from the step before\n")?;
    let failed = exec(&leaking()?, &options, "7")?;
    failed.expect_code(7);
    assert!(said_of("--fail-on-growth", &failed)?.contains("tripped"), "{}", failed.stderr);
    // Both files are there all the same, and say both.
    let (junit, summary) = (fs::read_to_string(junit)?, fs::read_to_string(summary)?);
    assert!(junit.contains("failures=\"2\"") && junit.contains("status 7"), "{junit}");
    assert!(junit.contains("serve at "), "{junit}");
    assert!(
        summary.starts_with("from the step before\n### memtrace: the target failed"),
        "{summary}"
    );
    assert!(summary.contains("**gate --fail-on-growth tripped"), "{summary}");
    Ok(())
}

#[test]
fn what_can_t_be_judged_does_not_pass() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let mended = mended()?;
    let options = format!("--warmup 50 --fail-on-growth {LIMIT}");
    let undecided = exec(&mended, &options, "0")?;
    undecided.expect_code(125);
    assert!(undecided.stderr.contains("can't be judged: no iteration was measured"));
    // Marks were to come: what is left after the program has tidied up is no measure.
    let unmarked = Memtrace::new(["exec", "-i", "1h", "--fail-on-growth", LIMIT, "--"])
        .arg(mended.path())
        .words([ITERATIONS, "0"])
        .run()?;
    unmarked.expect_code(125);
    assert!(unmarked.stderr.contains("can't be judged: no mark came"), "{}", unmarked.stderr);
    let mut target = mended.start(&["2", "0", "wait"])?;
    let mut running = Memtrace::attach(target.pid())
        .args("--mark-fn mark_iteration -n 3")
        .args(&options)
        .start()?;
    running.attached()?;
    target.send("\n\n")?;
    target.expect("done")?;
    target.wait()?;
    let finished = running.finish()?;
    finished.expect_code(1);
    assert!(finished.stderr.contains("judged 0 of the 3 iterations"), "{}", finished.stderr);
    Ok(())
}

/// Incomplete data proves nothing either way: `--strict` comes before a gate.
#[test]
fn strict_comes_before_a_gate() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let leaking = leaking()?;
    let options = "--fail-on-growth 10 --max-live 16";
    let lenient = exec(&leaking, options, "0")?;
    lenient.expect_code(3);
    assert!(lenient.stderr.contains("the gates judged incomplete data"), "{}", lenient.stderr);
    exec(&leaking, &format!("{options} --strict"), "0")?.expect_code(4);
    Ok(())
}

#[test]
fn suppressed_growth_trips_nothing_and_is_counted() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let leaking = leaking()?;
    let folder = tempfile::tempdir()?;
    let (list, report) = (folder.path().join("known.supp"), folder.path().join("report.json"));
    fs::write(&list, "# the leak\nleak:^serve$\nleak:another::function\n")?;
    let options = format!(
        "--fail-on-growth {LIMIT} --suppressions {} --format json -o {}",
        list.display(),
        report.display()
    );
    exec(&leaking, &options, "0")?.expect_code(0);
    let report = Document::read(&report)?;
    assert_eq!(report.at("/suppressions/0/pattern"), "^serve$");
    assert_eq!(report.number("/suppressions/0/stacks"), 1);
    assert_eq!(report.number("/suppressions/0/growth_bytes"), 50_000);
    assert_eq!(report.number("/suppressions/1/stacks"), 0);
    assert_eq!(report.number("/totals/growth_bytes"), 50_500, "the totals stay whole");
    assert_eq!(report.at("/gates/0/result"), "passed");
    let (line, _) = leaking.line_of("the leak")?;
    let stacks = report.stacks_at(leaking.source(), line);
    assert_eq!(stacks[0].growth_bytes(), 50_000);

    let words = exec(&leaking, &format!("--suppressions {}", list.display()), "0")?;
    let counted = "suppressed: 1 stack with +48.8 KiB of growth";
    assert!(words.expect_code(0).stderr.contains(counted), "{}", words.stderr);
    assert!(!words.stderr.contains(&format!("gate.c:{line}")), "{}", words.stderr);
    Ok(())
}

/// All of it before the command is started.
#[test]
fn files_that_can_t_be_used() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    fs::write(path("text"), "not JSON")?;
    fs::write(path("version.json"), "{\"schema_version\": 99}")?;
    fs::write(path("races"), "race:x")?;
    fs::write(path("old.xml"), "precious")?;
    let mended = mended()?;
    for (options, part) in [
        ("--fail-on-growth 1 --baseline missing", "missing: can't be read"),
        ("--fail-on-growth 1 --baseline text", "text: not a report of memtrace"),
        ("--fail-on-growth 1 --baseline version.json", "has schema_version 99"),
        ("--suppressions missing", "missing: can't be read"),
        ("--suppressions races", "line 1, `race:x`: write leak:PATTERN"),
        ("--junit old.xml", "use --force"),
        ("--junit no/such/folder.xml", "can't be written to"),
        ("--summary-file no/such/folder.md", "can't be written to"),
    ] {
        let words = options.split(' ');
        let words = words.map(|word| match word.parse::<u8>() {
            Err(_) if !word.starts_with('-') => path(word).into_os_string(),
            _ => word.into(),
        });
        let refused = Memtrace::new(["exec"])
            .words(words)
            .arg("--")
            .arg(mended.path())
            .words(["1", "0"])
            .run()?;
        refused.expect_code(125);
        assert!(refused.stderr.contains(part), "{options}: {}", refused.stderr);
        assert!(!refused.stdout.contains("ready"), "{options}: {}", refused.stdout);
    }
    assert_eq!(fs::read_to_string(path("old.xml"))?, "precious");
    // A run that fails later leaves a file that says so, and one that succeeds replaces it by force.
    let junit = path("j.xml");
    let failing = |program: &Path, force: &str| {
        let options = ["exec", "--junit"].into_iter();
        Memtrace::new(options).arg(&junit).args(force).arg("--").arg(program).run()
    };
    failing(Path::new("/no/such/program"), "")?.expect_code(127);
    assert!(fs::read_to_string(&junit)?.contains("<error message=\"memtrace gave no report"));
    failing(mended.path(), "--force")?.expect_code(0);
    let written = fs::read_to_string(&junit)?;
    assert!(written.contains("errors=\"0\"") && written.trim_end().ends_with("</testsuites>"));
    Ok(())
}

#[test]
fn two_reports_are_compared() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    for (program, name) in [(mended()?, "a.json"), (leaking()?, "b.json")] {
        let options = format!("--format json -o {}", path(name).display());
        exec(&program, &options, "0")?.expect_code(0);
    }
    let diff = |before: &str, after: &str, options: &str| {
        Memtrace::new(["diff"]).arg(path(before)).arg(path(after)).args(options).run()
    };
    let words = diff("a.json", "b.json", "")?;
    words.expect_code(0);
    let rows: Vec<_> = words.stdout.lines().filter(|line| line.contains(" < ")).collect();
    assert_eq!(rows.len(), 1, "{}", words.stdout);
    assert!(
        rows[0].contains("+9.8 KiB") && rows[0].contains("in serve < main"),
        "{}",
        words.stdout
    );
    // Code moved, and is the same all the same; the other way round it grew less.
    let json = Document::parse(&diff("a.json", "b.json", "--filter any --format json")?.stdout)?;
    assert_eq!((json.number("/increased"), json.number("/decreased")), (1, 0));
    assert!(json.at("/stacks").to_string().contains("\"remember\""));
    let back = diff("b.json", "a.json", "--filter increased")?;
    assert!(back.expect_code(0).stdout.contains("No stack grew more."), "{}", back.stdout);
    // A file that is none, and words that are none.
    let missing = diff("a.json", "missing.json", "")?;
    missing.expect_code(1);
    assert!(missing.stderr.contains("missing.json: can't be read"), "{}", missing.stderr);
    assert_eq!(missing.stdout, "");
    diff("a.json", "b.json", "--filter some")?.expect_code(2);
    Ok(())
}

/// The script and the program of docs/ci.md, as they stand there.
#[test]
fn the_pipeline_step_of_the_documentation() -> Result<()> {
    if cannot_trace(&["cc", "sh"]) {
        return Ok(());
    }
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples").canonicalize()?;
    let folder = tempfile::tempdir()?;
    let summary = folder.path().join("step-summary.md");
    let build = |flags: &[&str]| -> Result<()> {
        let mut cc = Command::new("cc");
        cc.args(["-g", "-O1", "-o", "requests"]).args(flags).arg(examples.join("requests.c"));
        ensure!(cc.current_dir(&folder).status()?.success(), "the example can't be compiled");
        Ok(())
    };
    let step = || {
        Command::new(examples.join("memory-test.sh"))
            .args(["handle_request", "1KiB", "./requests", "20"])
            .current_dir(&folder)
            .env("MEMTRACE", memtrace_binary())
            .env("GITHUB_STEP_SUMMARY", &summary)
            .env_remove("RESULTS")
            .env_remove("SUDO_UID")
            .output()
    };
    let expect = |code: i32, says: &str| -> Result<()> {
        let output = step()?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{stdout}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(stdout.contains("20 requests handled") && stdout.contains(says), "{stdout}");
        Ok(())
    };
    build(&["-DLEAK"])?;
    expect(3, "memory test: FAILED, it grows by more than 1KiB for each handle_request")?;
    let results = folder.path().join("memory-results");
    assert!(fs::read_to_string(results.join("memtrace.xml"))?.contains("requests.c:"));
    // What that run recorded is now allowed.
    fs::rename(results.join("memtrace.json"), folder.path().join("memory-baseline.json"))?;
    expect(0, "memory test: passed")?;
    fs::remove_file(folder.path().join("memory-baseline.json"))?;
    build(&[])?;
    expect(0, "memory test: passed")?;
    let summary = fs::read_to_string(&summary)?;
    assert_eq!(summary.matches("### memtrace: passed").count(), 2, "{summary}");
    assert!(summary.contains("### memtrace: too much growth"), "{summary}");
    Ok(())
}

fn leaking() -> Result<Program> {
    Program::compile("gate.c", &["-O1", "-DLEAK"])
}

fn mended() -> Result<Program> {
    Program::compile("gate.c", &["-O1"])
}

fn exec(program: &Program, options: &str, status: &str) -> Result<Finished> {
    Memtrace::new(["exec", "--mark-fn", "mark_iteration"])
        .args(options)
        .arg("--")
        .arg(program.path())
        .words([ITERATIONS, status])
        .run()
}

/// The one line in which memtrace tells of a gate.
fn said_of(gate: &str, finished: &Finished) -> Result<String> {
    let start = format!("gate {gate} ");
    let mut lines = finished.stderr.lines().filter(|line| line.contains(&start));
    let line = lines.next().with_context(|| finished.stderr.clone())?;
    assert_eq!(lines.next(), None, "{}", finished.stderr);
    Ok(line.to_owned())
}
