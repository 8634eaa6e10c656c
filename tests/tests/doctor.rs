//! What `memtrace doctor` says of a machine that works, a target, and somebody without privilege.

use anyhow::Result;
use memtrace_tests::{Memtrace, Program, cannot_trace, memtrace_binary};

#[test]
fn a_machine_that_can_run_these_tests_is_well() -> Result<()> {
    if cannot_trace(&[]) {
        return Ok(());
    }
    let doctor = Memtrace::new(["doctor"]).run()?;
    let text = &doctor.expect_code(0).stdout;
    assert!(text.contains("ok    trial run: "), "{text}");
    assert!(text.contains("per live block 96 B"), "{text}");
    assert!(!text.contains("BAD"), "{text}");
    Ok(())
}

#[test]
fn a_target_is_described_and_not_touched() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = Program::compile("leak.c", &["-O1"])?;
    let mut target = program.start(&["1", "wait"])?;
    let doctor = Memtrace::new(["doctor", "--pid", &target.pid_argument()]).run()?;
    let text = &doctor.expect_code(0).stdout;
    for wanted in [
        format!("program: {}", program.path().display()),
        format!("names: {}: functions and lines", program.path().display()),
        "return probes: safe on this kernel".to_owned(),
        "\n          malloc ".to_owned(),
    ] {
        assert!(text.contains(&wanted), "no {wanted:?} in {text}");
    }
    assert!(target.is_running()?);
    Ok(())
}

#[test]
fn what_does_not_work_is_an_exit_code_of_1() -> Result<()> {
    if cannot_trace(&["setpriv"]) {
        return Ok(());
    }
    let nobody = Memtrace::new(["doctor", "--pid", "4194304"]).run()?; // above every pid there can be
    assert!(nobody.expect_code(1).stdout.contains("no process 4194304"), "{}", nobody.stdout);
    let output = std::process::Command::new("setpriv")
        .args(["--inh-caps=-all", "--bounding-set=-all", "--"])
        .arg(memtrace_binary())
        .arg("doctor")
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("no CAP_SYS_ADMIN"), "{text}");
    assert!(text.contains("sudo memtrace doctor"), "{text}");
    Ok(())
}
