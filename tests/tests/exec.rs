//! `memtrace exec` on programs as they come: it adds a report, and nothing else changes.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{Document, Finished, Memtrace, cannot_trace};

/// In every report, and nothing else that a traced program prints has it.
const LAST_LINE: &str = ", nothing lost\n";

#[test]
fn ls() -> Result<()> {
    if cannot_trace(&["ls"]) {
        return Ok(());
    }
    let report =
        changes_nothing(Command::new("ls").args(["-R", "/usr/share/doc", "/usr/include"]))?;
    assert!(report.number("/ledger/allocs/recorded") > 1000);
    Ok(())
}

#[test]
fn git_log() -> Result<()> {
    if cannot_trace(&["git"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    git(folder.path(), &["init", "--quiet"])?;
    for number in 0..5 {
        fs::write(folder.path().join("file"), number.to_string())?;
        git(folder.path(), &["add", "file"])?;
        git(folder.path(), &["commit", "--quiet", "-m", &format!("Change {number}")])?;
    }
    let folder = folder.path().to_string_lossy();
    let report = changes_nothing(Command::new("git").args(["-C", &folder, "log", "--patch"]))?;
    assert!(report.number("/ledger/allocs/recorded") > 100);
    Ok(())
}

#[test]
fn python() -> Result<()> {
    if cannot_trace(&["python3"]) {
        return Ok(());
    }
    let script =
        "import json; kept = [str(i) * 10 for i in range(10000)]; print(len(json.dumps(kept)))";
    let report = changes_nothing(Command::new("python3").args(["-c", script]))?;
    assert!(report.number("/ledger/allocs/recorded") > 1000);
    Ok(())
}

/// The compiler's driver starts others; these are not traced, and work as always.
#[test]
fn gcc() -> Result<()> {
    if cannot_trace(&["gcc"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("x.c");
    let object = folder.path().join("x.o");
    fs::write(&source, "int main(void) { return 0; }\n")?;
    changes_nothing(Command::new("gcc").arg("-c").arg(source).arg("-o").arg(&object))?;
    assert!(fs::read(object)?.starts_with(b"\x7fELF"));
    Ok(())
}

#[test]
fn a_failing_status_is_passed_on() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    for (command, code) in [
        (vec!["true"], 0),
        (vec!["false"], 1),
        (vec!["sh", "-c", "exit 7"], 7),
        (vec!["sh", "-c", "kill -9 $$"], 137),
        (vec!["sh", "-c", "kill -TERM $$"], 143),
        (vec!["sh", "-c", "exit 255"], 255),
    ] {
        let folder = tempfile::tempdir()?;
        let finished = exec_into(folder.path()).words(&command).run()?;
        finished.expect_code(code);
        let report = Document::read(&folder.path().join("report.json"))?;
        assert_eq!(report.number("/target/exit_status"), i64::from(code), "{command:?}");
        report.assert_ledger_closes();
    }
    Ok(())
}

#[test]
fn the_report_goes_to_stderr() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    let finished = Memtrace::new(["exec", "--", "sh", "-c", "echo out; echo err >&2"]).run()?;
    finished.expect_code(0);
    assert_eq!(finished.stdout, "out\n");
    assert!(finished.stderr.starts_with("err\n"), "{}", finished.stderr);
    assert!(finished.stderr.ends_with(LAST_LINE), "{}", finished.stderr);
    Ok(())
}

#[test]
fn a_dash_puts_the_report_on_stdout() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    let finished = Memtrace::new(["exec", "-o", "-", "--", "echo", "out"]).run()?;
    finished.expect_code(0);
    assert!(finished.stdout.starts_with("out\n"), "{}", finished.stdout);
    assert!(finished.stdout.ends_with(LAST_LINE), "{}", finished.stdout);
    assert_eq!(finished.stderr, "");
    let json = Memtrace::new(["exec", "--format", "json", "-o", "-", "--", "true"]).run()?;
    json.document()?.assert_ledger_closes();
    Ok(())
}

#[test]
fn what_cannot_be_run() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let plain = folder.path().join("plain");
    fs::write(&plain, "not a program\n")?;
    for (command, code, reason) in [
        (Path::new("/nonexistent"), 127, "command not found"),
        (Path::new("no-such-command-anywhere"), 127, "command not found"),
        (plain.as_path(), 126, "can't be executed: Permission denied"),
        (folder.path(), 126, "can't be executed: Permission denied"),
    ] {
        let finished = Memtrace::new(["exec", "--"]).arg(command).run()?;
        finished.expect_code(code);
        let start = format!("memtrace: {}: {reason}", command.display());
        assert!(finished.stderr.starts_with(&start), "{}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
        assert_eq!(
            finished.stderr.matches("os error").count(),
            usize::from(code == 126),
            "{}",
            finished.stderr
        );
        assert_eq!(finished.stdout, "");
    }
    Ok(())
}

/// What memtrace itself fails at has a code of its own, and the command has not run.
#[test]
fn a_report_that_cannot_be_written() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let (report, trace) = (folder.path().join("report.json"), folder.path().join("trace"));
    fs::write(&report, "precious")?;
    let exec = || exec_into(folder.path()).arg("touch").arg(&trace);
    let finished = exec().run()?;
    finished.expect_code(125);
    assert!(finished.stderr.contains("exists already; use --force"), "{}", finished.stderr);
    assert_eq!(fs::read_to_string(&report)?, "precious");
    assert!(!trace.exists());

    Memtrace::new(["exec", "--force", "--format", "json", "-o"])
        .arg(&report)
        .words(["--", "true"])
        .run()?
        .expect_code(0);
    Document::read(&report)?.assert_ledger_closes();
    Ok(())
}

/// Under sudo a command runs as who called it.
#[test]
fn the_user_behind_sudo() -> Result<()> {
    if cannot_trace(&["id"]) {
        return Ok(());
    }
    let id = |option: &str| text(&Command::new("id").args([option, "nobody"]).output()?);
    let uid = id("-u")?;
    let script = r#"id -u; id -g; id -G; echo "$USER $LOGNAME""#;
    let exec = |arguments: &[&str], sudo_uid: &str| -> Result<Finished> {
        let exec = Memtrace::new(["exec"]).words(arguments).words(["--", "sh", "-c", script]);
        exec.env("SUDO_UID", sudo_uid).run()
    };
    let finished = exec(&[], uid.trim())?;
    let expected = format!("{uid}{}{}nobody nobody\n", id("-g")?, id("-G")?);
    assert_eq!(finished.expect_code(0).stdout, expected);
    assert!(finished.stderr.ends_with(LAST_LINE), "{}", finished.stderr);

    let as_root = exec(&["--as-root"], uid.trim())?;
    assert!(as_root.expect_code(0).stdout.starts_with("0\n0\n"), "{}", as_root.stdout);

    let unknown = exec(&[], "3999999999")?;
    unknown.expect_code(125);
    assert!(unknown.stderr.contains("--as-root"), "{}", unknown.stderr);
    assert_eq!(unknown.stdout, "");
    Ok(())
}

/// Runs a command with memtrace and without: output and status are the same. The report.
fn changes_nothing(command: &mut Command) -> Result<Document> {
    let alone = command.output()?;
    let folder = tempfile::tempdir()?;
    let exec = exec_into(folder.path()).arg(command.get_program());
    let finished = exec.words(command.get_args()).run()?;
    assert_eq!(finished.code(), alone.status.code(), "{}", finished.stderr);
    assert!(
        finished.stdout.as_bytes() == alone.stdout,
        "not its output: {:.2000}",
        finished.stdout
    );
    assert_eq!(finished.stderr.as_bytes(), alone.stderr, "{}", finished.stderr);
    let report = Document::read(&folder.path().join("report.json"))?;
    report.assert_ledger_closes();
    Ok(report)
}

/// `memtrace exec` with a JSON report in a folder; the command has yet to be added.
fn exec_into(folder: &Path) -> Memtrace {
    Memtrace::new(["exec", "--format", "json", "-o"]).arg(folder.join("report.json")).arg("--")
}

/// Runs git, with nobody's settings.
fn git(folder: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=A Tester", "-c", "user.email=tester@example.org"])
        .args(["-c", "commit.gpgSign=false", "-c", "core.hooksPath=/dev/null"])
        .args(arguments)
        .output()?;
    text(&output).map(drop)
}

fn text(output: &Output) -> Result<String> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).context("not text")
}
