//! The same run seen by others: heaptrack, and a server's own books. `docs/peers.md` explains the differences.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{Document, LONG, Memtrace, Program, Target, cannot_trace, until};
use rustix::process::Signal;

/// heaptrack is written in C++, and it counts the block that libstdc++ keeps for exceptions.
const EMERGENCY_POOL: i64 = 72_704;

/// heaptrack's libraries make the table of thread-local storage larger; its figure is rounded, too.
const SLACK: i64 = 512;

#[test]
fn heaptrack_counts_the_same() -> Result<()> {
    if cannot_trace(&["cc", "heaptrack", "heaptrack_print"]) {
        return Ok(());
    }
    let flags = ["-O1", "-fno-builtin", "-fno-omit-frame-pointer", "-DWITHOUT_MEMALIGN"];
    let program = Program::compile("self_counting.c", &flags)?;
    let arguments = ["1", "100000", "7"];
    let folder = tempfile::tempdir()?;
    let recording = folder.path().join("recording");
    let mut target = Target::start(
        Command::new("heaptrack")
            .arg("--output")
            .arg(&recording)
            .arg(program.path())
            .args(arguments),
    )?;
    target.send("go\nend\n")?;
    ensure!(target.wait()?.success(), "heaptrack failed");
    let print =
        Command::new("heaptrack_print").arg("--file").arg(recorded(folder.path())?).output()?;
    let print = String::from_utf8_lossy(&print.stdout).into_owned();
    let calls: i64 = field(&print, "calls to allocation functions: ")?.parse()?;
    let peak = bytes(field(&print, "peak heap memory consumption: ")?)?;

    let file = folder.path().join("report.json");
    let mut target = Memtrace::new(["exec", "--strict", "--format", "json", "-o"])
        .arg(&file)
        .arg("--")
        .arg(program.path())
        .words(arguments)
        .into_target()?;
    target.send("go\nend\n")?;
    ensure!(target.wait()?.success(), "memtrace failed");
    let report = Document::read(&file)?;
    let [own_calls, ..] = report.counts();
    let own_peak = report.number("/iterations/0/peak_bytes");
    println!(
        "heaptrack: {calls} calls, peak {peak} B; memtrace: {own_calls} calls, peak {own_peak} B"
    );
    assert_eq!(calls - own_calls, 1, "libstdc++'s pool is the one block more");
    let more = peak - own_peak - EMERGENCY_POOL;
    assert!((-SLACK..=SLACK).contains(&more), "heaptrack's peak is {more} B higher than explained");
    Ok(())
}

/// 100 000 keys, counted by redis (usable sizes) and by memtrace (requested ones). What lies between the two are
/// jemalloc's size classes, which can be computed.
#[test]
fn redis_uses_what_memtrace_saw() -> Result<()> {
    const KEYS: usize = 100_000;
    if cannot_trace(&["redis-server", "setpriv"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("socket");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "redis-server", "--port", "0", "--unixsocket"]);
    command.arg(&socket).args(["--save", "", "--appendonly", "no", "--dir"]).arg(folder.path());
    let mut server = Target::start(&mut command)?;
    until("redis answers", || UnixStream::connect(&socket).is_ok())?;
    let mut client = UnixStream::connect(&socket)?;
    client.set_read_timeout(Some(LONG))?;
    let mut memtrace = Memtrace::attach(server.pid()).args("-i 1h --format json").start()?;
    memtrace.attached()?;
    let before = used_memory(&mut client)?;
    let mut overhead = 0;
    for first in (0..KEYS).step_by(1000) {
        let mut commands = Vec::new();
        for number in first..first + 1000 {
            let (key, value) = (format!("key:{number}"), "x".repeat(number * 7919 % 200));
            let set = [
                format!("$3\r\nSET\r\n${}\r\n{key}\r\n", key.len()),
                format!("${}\r\n{value}\r\n", value.len()),
            ];
            write!(commands, "*3\r\n{}", set.concat())?;
            overhead += rounding(key.len(), value.len());
        }
        client.write_all(&commands)?;
        let mut answers = vec![0; 1000 * "+OK\r\n".len()];
        client.read_exact(&mut answers)?;
        assert!(answers.starts_with(b"+OK"), "redis refused a key");
    }
    let after = used_memory(&mut client)?;
    memtrace.signal(Signal::INT)?;
    let report = memtrace.finish()?.document()?;
    assert!(server.is_running()?);
    report.assert_ledger_closes();
    let requested = report.number("/totals/net_bytes");
    let used = after - before;
    let percent = |figure: i64| (figure - used) as f64 / used as f64 * 100.0;
    println!(
        "redis: {used} B; memtrace: {requested} B ({:+.2} %), with size classes {} B ({:+.2} %)",
        percent(requested),
        requested + overhead,
        percent(requested + overhead)
    );
    assert!(percent(requested + overhead).abs() < 2.0);
    Ok(())
}

/// What jemalloc adds to the blocks of one key: the key, the entry in the table, and the value, which up to 44 bytes
/// is in one block with its header.
fn rounding(key: usize, value: usize) -> i64 {
    const ENTRY: usize = 24;
    const OBJECT: usize = 16;
    const SHORT: usize = 44;
    const HEADER: usize = 3;
    let value = if value <= SHORT { OBJECT + HEADER + value + 1 } else { HEADER + value + 1 };
    // A short string's header has one byte; there is a 0 after each.
    [1 + key + 1, ENTRY, value].into_iter().map(|size| size_class(size) as i64 - size as i64).sum()
}

/// Multiples of 16 up to 128, then four steps to each doubling.
fn size_class(size: usize) -> usize {
    let step = if size <= 128 { 16 } else { size.next_power_of_two() / 8 };
    size.next_multiple_of(step)
}

fn used_memory(client: &mut UnixStream) -> Result<i64> {
    client.write_all(b"*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n")?;
    let mut text = Vec::new();
    let mut part = [0; 4096];
    while !text.ends_with(b"\r\n") || !String::from_utf8_lossy(&text).contains("lazyfreed_objects")
    {
        let read = client.read(&mut part)?;
        ensure!(read > 0, "redis has hung up");
        text.extend_from_slice(&part[..read]);
    }
    Ok(field(&String::from_utf8_lossy(&text), "used_memory:")?.parse()?)
}

/// heaptrack adds a suffix of its own to the name.
fn recorded(folder: &Path) -> Result<std::path::PathBuf> {
    let mut entries = std::fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path());
    entries.next().context("heaptrack wrote nothing")
}

/// What follows `name` up to the next blank.
fn field<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    let (_, rest) =
        text.split_once(name).with_context(|| format!("no {name:?} in {text:.2000}"))?;
    rest.split_whitespace().next().context("nothing follows")
}

/// "416.20K", in thousands.
fn bytes(text: &str) -> Result<i64> {
    let (number, factor) = match text.strip_suffix('K') {
        Some(number) => (number, 1e3),
        None => (text.strip_suffix('M').context("neither K nor M")?, 1e6),
    };
    Ok((number.parse::<f64>()? * factor).round() as i64)
}
