//! More than there is room for: the run goes on, what was left out is counted, and no total is off by more than
//! that. And how much room memtrace itself takes.

use std::fs;

use anyhow::{Context as _, Result};
use memtrace_tests::{Document, Finished, Memtrace, Program, Running, Target, cannot_trace};
use rustix::process::Signal;

const FLAGS: [&str; 3] = ["-O1", "-fno-builtin", "-fno-omit-frame-pointer"];
const SIZE: i64 = 100;

/// Kernel memory and memtrace's own, at default settings and 100 000 live blocks.
const MOST_BYTES: u64 = 128 << 20;

#[test]
fn three_times_the_live_blocks() -> Result<()> {
    const ROOM: i64 = 10_000;
    let Some((target, memtrace)) = start("blocks", 3 * ROOM, "--max-live 10000 --strict")? else {
        return Ok(());
    };
    let (_, finished) = fill_and_empty(target, memtrace)?;
    let report = incomplete(&finished)?;
    assert_eq!(report.number("/ledger/allocs/seen"), 3 * ROOM);
    assert_eq!(report.number("/ledger/allocs/recorded"), ROOM);
    assert_eq!(report.number("/ledger/allocs/lost/live_full"), 2 * ROOM);
    // Those that were recorded, and no other.
    assert_eq!(report.number("/ledger/frees/recorded"), ROOM);
    assert_eq!(report.number("/ledger/frees/lost/unknown_free"), 2 * ROOM);
    assert_eq!(live(&report), (0, 0));
    assert_eq!(report.counts(), [ROOM, ROOM, ROOM * SIZE, ROOM * SIZE]);
    Ok(())
}

#[test]
fn three_times_the_stacks() -> Result<()> {
    const STACKS: i64 = 6000;
    // A row each, and twice as many rows as stacks.
    const ROWS: i64 = 4000;
    let Some((target, memtrace)) = start("stacks", STACKS, "--max-stacks 2000 --strict")? else {
        return Ok(());
    };
    let (_, finished) = fill_and_empty(target, memtrace)?;
    let report = incomplete(&finished)?;
    assert_eq!(report.number("/ledger/allocs/recorded"), STACKS);
    assert_eq!(report.number("/ledger/frees/recorded"), STACKS);
    assert_eq!(report.number("/ledger/unattributed/stack_full"), STACKS - ROWS);
    assert_eq!(unknown_blocks(&report), STACKS - ROWS);
    assert_eq!(live(&report), (0, 0));
    assert_eq!(report.counts(), [STACKS, STACKS, STACKS * SIZE, STACKS * SIZE]);
    Ok(())
}

/// All of them new at once, while memtrace doesn't get to run: more than the ring buffer holds. Each block is on its own stack or, where that did not
/// fit, on one that is shown as not known and counted.
#[test]
fn thirty_thousand_new_stacks_at_once() -> Result<()> {
    const STACKS: i64 = 30_000;
    let Some((mut target, memtrace)) = start("stacks", STACKS, "")? else { return Ok(()) };
    memtrace.signal(Signal::STOP)?;
    target.send("go\n")?;
    target.expect("full")?;
    memtrace.signal(Signal::CONT)?;
    memtrace.signal(Signal::INT)?;
    let report = memtrace.finish()?.document()?;
    assert_eq!(report.counts(), [STACKS, 0, STACKS * SIZE, 0]);
    assert_eq!(live(&report), (STACKS, STACKS * SIZE));
    let unknown = unknown_blocks(&report);
    println!("{unknown} of {STACKS} stacks did not fit into the ring buffer");
    assert!(unknown > 0, "the ring buffer is larger than the test believes");
    assert_eq!(report.number("/ledger/unattributed/ring_full"), unknown);
    assert_eq!(report.number("/ledger/unattributed/malformed_event"), 0);
    assert_eq!(report.at("/ledger/complete"), false);
    assert_eq!(report.stacks().len() as i64, STACKS);
    let whole = report.stacks().iter().filter(|stack| stack.functions().contains(&"main")).count();
    assert_eq!(whole as i64, STACKS - unknown);
    Ok(())
}

#[test]
fn memory_at_100_000_live_blocks() -> Result<()> {
    let Some((mut target, memtrace)) = start("blocks", 100_000, "")? else { return Ok(()) };
    target.send("go\n")?;
    target.expect("full")?;
    let maps = map_bytes(memtrace.pid())?;
    let own = peak_bytes(memtrace.pid())?;
    println!(
        "kernel maps {:.1} MiB, memtrace {:.1} MiB, together {:.1} MiB",
        mib(maps),
        mib(own),
        mib(maps + own)
    );
    // At least 32 bytes for each block; or the kernel does not tell of what is in its tables.
    assert!(maps > 100_000 * 32, "only {maps} bytes in maps");
    assert!(maps + own <= MOST_BYTES, "{maps} bytes in maps, {own} in memtrace");
    memtrace.signal(Signal::INT)?;
    let report = memtrace.finish()?.document()?;
    report.assert_ledger_closes();
    assert_eq!(live(&report), (100_000, 100_000 * SIZE));
    Ok(())
}

fn start(what: &str, number: i64, arguments: &str) -> Result<Option<(Target, Running)>> {
    if cannot_trace(&["cc"]) {
        return Ok(None);
    }
    let program = Program::compile("capacity.c", &FLAGS)?;
    let target = program.start(&[what, &number.to_string()])?;
    let mut memtrace =
        Memtrace::attach(target.pid()).args("-i 1h --format json").args(arguments).start()?;
    memtrace.attached()?;
    Ok(Some((target, memtrace)))
}

fn fill_and_empty(mut target: Target, memtrace: Running) -> Result<(Target, Finished)> {
    target.send("go\n")?;
    target.expect("full")?;
    target.send("go\n")?;
    target.expect("empty")?;
    memtrace.signal(Signal::INT)?;
    let finished = memtrace.finish()?;
    assert!(target.is_running()?);
    Ok((target, finished))
}

/// The report of a run that `--strict` failed; its ledger closes all the same.
fn incomplete(finished: &Finished) -> Result<Document> {
    finished.expect_code(4);
    let report = Document::parse(&finished.stdout)?;
    assert_eq!(report.at("/ledger/complete"), false);
    assert_eq!(report.number("/ledger/allocs/unaccounted"), 0);
    assert_eq!(report.number("/ledger/frees/unaccounted"), 0);
    Ok(report)
}

/// Blocks and bytes.
fn live(report: &Document) -> (i64, i64) {
    let stacks = report.stacks();
    let sum = |field: &str| stacks.iter().map(|stack| stack.number(field)).sum();
    (sum("live_blocks"), sum("live_bytes"))
}

/// Blocks allocated on stacks without a frame.
fn unknown_blocks(report: &Document) -> i64 {
    let stacks = report.stacks();
    let unknown = stacks.iter().filter(|stack| stack.functions().is_empty());
    unknown.map(|stack| stack.number("alloc_blocks")).sum()
}

/// Kernel memory of all eBPF maps that a process holds. Since Linux 6.4 the figure includes what is in tables that
/// are not preallocated.
fn map_bytes(pid: u32) -> Result<u64> {
    let mut sum = 0;
    let mut seen = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let info = fs::read_to_string(entry?.path()).unwrap_or_default();
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
        };
        // A map may be held by several descriptors.
        if let (Some(bytes), Some(id)) = (field("memlock:"), field("map_id:"))
            && !seen.contains(&id)
        {
            seen.push(id);
            sum += bytes;
        }
    }
    Ok(sum)
}

fn peak_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
