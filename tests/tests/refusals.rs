//! What memtrace doesn't do: it says why and what to do instead, with the exit code that is documented, and
//! leaves everything as it was.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command, thread};

use anyhow::Result;
use memtrace_tests::{Document, Memtrace, Program, Target, cannot_trace, memtrace_binary, skip};

#[test]
fn usage_errors() -> Result<()> {
    for line in [
        "",
        "--pid",
        "--pid x",
        "--pid -1",
        "--no-such-option",
        "--pid 1 --interval 0s",
        "--pid 1 --interval soon",
        "--pid 1 --iterations 0",
        "--pid 1 --mark-every 2",
        "--pid 1 --mark-fn @libc.so.6",
        "--pid 1 --control ctl",
        "--pid 1 --control fifo:ctl,ctl",
        "--pid 1 --min-size 2MB --max-size 1MB",
        "--pid 1 --format xml",
        "--pid 1 --force",
        "--pid 1 -q -v",
        "--pid 1 --fail-on-growth much",
        "--pid 1 --fail-on-growth -1",
        "--pid 1 --baseline report.json",
        "diff",
        "diff a.json",
        "diff a.json b.json --top all",
        "--pid 1 exec -- true",
        "--pid 1 --runs 2",
        "--pid 1 --max-iterations 3",
        "--pid 1 --until-stable -n 3",
        "exec --until-stable -- true",
        "exec --runs 0 -- true",
        "exec --runs 2 -w 2 -- true",
        "exec --runs 2 -i 1s -- true",
        "exec --runs 2 --until-stable --max-iterations 5 -- true",
        "exec",
        "exec --",
    ] {
        let finished = Memtrace::new(line.split_whitespace()).run()?;
        finished.expect_code(2);
        assert_eq!(finished.stdout, "", "{line}");
        assert!(!finished.stderr.is_empty(), "{line}");
        assert!(!finished.stderr.contains("panicked"), "{line}: {}", finished.stderr);
    }
    for line in ["--help", "--version", "exec --help", "diff --help"] {
        let finished = Memtrace::new(line.split_whitespace()).run()?;
        assert!(!finished.expect_code(0).stdout.is_empty(), "{line}");
        assert_eq!(finished.stderr, "", "{line}");
    }
    Ok(())
}

#[test]
fn a_process_that_is_gone() -> Result<()> {
    let mut gone = Target::start(&mut Command::new("true"))?;
    gone.wait()?;
    let pid = gone.pid();
    refused(Memtrace::attach(pid), 1, &[&format!("no process {pid}"), &format!("ps -p {pid}")])
}

#[test]
fn a_kernel_thread() -> Result<()> {
    const KTHREADD: u32 = 2;
    if fs::read_to_string("/proc/2/comm").ok().as_deref() != Some("kthreadd\n") {
        skip("no kernel threads can be seen from here");
        return Ok(());
    }
    refused(Memtrace::attach(KTHREADD), 1, &["process 2 is a kernel thread"])
}

#[test]
fn itself() -> Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"exec "$0" --pid $$"#]).arg(memtrace_binary());
    refused(Memtrace::run_by(shell), 1, &["is this memtrace itself", "name another process"])
}

#[test]
fn a_thread() -> Result<()> {
    let thread = thread::spawn(|| {
        let thread = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
        let process = std::process::id();
        let reason = format!("{thread} is a thread of process {process}; use --pid {process}");
        refused(Memtrace::attach(thread), 1, &[&reason])
    });
    thread.join().map_err(|_| anyhow::anyhow!("the assertions of the thread failed"))?
}

#[test]
fn a_process_of_another_user() -> Result<()> {
    if cannot_trace(&["cc", "setpriv"]) {
        return Ok(());
    }
    let mut target = work(&[])?.start(&["1000"])?;
    let nobody = Nobody::new()?;
    let reason = format!("process {} may not be inspected; run memtrace as root", target.pid());
    refused(nobody.memtrace(&["--pid", &target.pid_argument()]), 1, &[&reason])?;
    works(&mut target)
}

/// Not even one's own processes can be traced without the right to load eBPF programs.
#[test]
fn no_privileges() -> Result<()> {
    if cannot_trace(&["setpriv"]) {
        return Ok(());
    }
    let nobody = Nobody::new()?;
    let reason = "no permission to load eBPF programs and set probes; run memtrace as root";
    refused(nobody.memtrace(&["exec", "--", "true"]), 125, &[reason])
}

#[test]
fn a_static_program_without_symbols() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = work(&["-static", "-s"])?;
    let reasons =
        ["no allocator found in process", "statically linked", "not stripped can be traced"];
    let mut target = program.start(&["1000"])?;
    refused(Memtrace::attach(target.pid()), 1, &reasons)?;
    works(&mut target)?;
    refused(Memtrace::new(["exec", "--"]).arg(program.path()).arg("1000"), 125, &reasons)
}

#[test]
fn an_unknown_mark_function() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = Program::compile("leak.c", &["-O1", "-fno-omit-frame-pointer", "-fno-builtin"])?;
    let mut target = program.start(&["1", "wait"])?;
    let misspelt = ["--mark-fn mark_iteratoin", "near ones: ", "mark_iteration"];
    refused(Memtrace::attach(target.pid()).args("--mark-fn mark_iteratoin"), 1, &misspelt)?;
    let elsewhere = ["--mark-fn mark_iteration", "no mapped object"];
    refused(
        Memtrace::attach(target.pid()).args("--mark-fn mark_iteration@libc.so.6"),
        1,
        &elsewhere,
    )?;
    assert!(target.is_running()?);
    target.send("\n")?;
    target.expect("done")?;
    assert!(target.wait()?.success());

    let exec = Memtrace::new(["exec", "--mark-fn", "mark_iteratoin", "--"]).arg(program.path());
    refused(exec, 125, &misspelt)
}

#[test]
fn an_existing_report() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let mut target = work(&[])?.start(&["1000"])?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    fs::write(&file, "precious")?;
    let memtrace =
        || Memtrace::attach(target.pid()).args("-i 50ms -n 1 --format json -o").arg(&file);
    refused(memtrace(), 1, &["exists already; use --force to replace it"])?;
    assert_eq!(fs::read_to_string(&file)?, "precious");
    let missing = folder.path().join("no/such/folder/report");
    refused(Memtrace::attach(target.pid()).arg("-o").arg(missing), 1, &["can't be written"])?;

    let finished = memtrace().arg("--force").run()?;
    assert_eq!(finished.expect_code(0).stdout, "");
    Document::read(&file)?.assert_ledger_closes();
    works(&mut target)
}

fn work(flags: &[&str]) -> Result<Program> {
    Program::compile("work.c", &[&["-O2", "-fno-omit-frame-pointer"], flags].concat())
}

/// The target does what it is there for.
fn works(target: &mut Target) -> Result<()> {
    assert!(target.is_running()?);
    target.send("\n")?;
    target.expect("checksum")?;
    assert!(target.wait()?.success());
    Ok(())
}

/// Asserts that memtrace ends with this code and one line that has all of `reasons` in it.
#[track_caller]
fn refused(memtrace: Memtrace, code: i32, reasons: &[&str]) -> Result<()> {
    let finished = memtrace.run()?;
    finished.expect_code(code);
    for reason in reasons {
        assert!(finished.stderr.contains(reason), "no {reason:?} in {}", finished.stderr);
    }
    assert!(finished.stderr.starts_with("memtrace: "), "{}", finished.stderr);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    assert_eq!(finished.stdout, "");
    Ok(())
}

/// The user `nobody`, with a memtrace that it may execute.
struct Nobody {
    folder: tempfile::TempDir,
}

impl Nobody {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        fs::copy(memtrace_binary(), folder.path().join("memtrace"))?;
        Ok(Self { folder })
    }

    fn memtrace(&self, arguments: &[&str]) -> Memtrace {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]);
        command.arg(self.folder.path().join("memtrace")).args(arguments);
        Memtrace::run_by(command)
    }
}
