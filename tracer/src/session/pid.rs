//! `memtrace --pid`: attach to what is running, and leave it as it was.

use super::{
    SessionError,
    follow::{Signals, follow},
    judging::Judge,
    marks::Marks,
    memory::MemoryReader,
    prober::Prober,
    recorder::Recorder,
    sink::Sink,
    steps::Steps,
    unwinding::Unwinding,
    writer::Writer,
};
use crate::{
    bpf::{Kernel, KernelSettings, StackWalk, TargetGroup, locked_by_maps},
    cli::{BenchMode, Exit, PythonObjects, TraceConfig},
    release::KernelRelease,
    target::{Hazards, Modules, Process},
    units::Pid,
};

/// Traces a running process.
///
/// # Errors
///
/// Whatever kept the run from giving a report.
pub(super) async fn run(config: &TraceConfig, pid: Pid) -> Result<Exit, SessionError> {
    let mut steps = Steps::start();
    let mut signals = Signals::catch()?;
    let mut marks = Marks::open(config)?;
    let process = Process::open(pid)?;
    check_hazards(config, pid)?;
    let judge = Judge::open(config)?;
    let sink = Sink::open(&config.output)?;
    steps.done("looking at the process");
    let mut kernel = load(config, &process, config.python_objects == PythonObjects::Exact)?;
    steps.done("loading the eBPF programs");
    kernel.watch_processes()?;
    let mut modules = Modules::default();
    let mut prober = Prober::new(pid, config);
    let mut unwinding = Unwinding::new(&kernel)?;
    // Until nothing is new: what the target loads or unloads while its probes are set goes unnoticed until the dynamic
    // linker's is.
    while prober.refresh(&mut kernel, &mut modules, &mut unwinding)? {}
    prober.check(&modules)?;
    prober.probe_objects(&mut kernel, &modules, config)?;
    steps.done("setting probes");
    unwinding.finish(&mut kernel)?;
    steps.done("making unwind tables (the rest of them)");
    let config =
        &if prober.has_usdt() { config.clone().for_marking_target() } else { config.clone() };
    let mut writer = Writer::new(config, sink, judge.for_marks_of(config), &process);
    let memory = MemoryReader::starting(&process, 0);
    let mut recorder =
        Recorder::start(kernel, process, modules, prober, unwinding, memory, config)?;
    tracing::info!(
        "attached to {pid} ({}): {} in {:.2} s",
        recorder.process.program().display(),
        recorder.prober.summary(),
        steps.total().as_secs_f64(),
    );
    follow(&mut recorder, &mut writer, config, &mut signals, &mut marks).await?;
    tell_memory(&recorder.kernel, "at the end");
    let exit = writer.finish(&recorder, None)?;
    marks.end();
    Ok(exit)
}

/// Refuses a target that its probes would endanger.
///
/// # Errors
///
/// Where this kernel would kill it.
pub(super) fn check_hazards(config: &TraceConfig, pid: Pid) -> Result<(), SessionError> {
    Ok(Hazards::of(pid)?.check(pid, &KernelRelease::running(), config.allow_seccomp)?)
}

/// Loads the kernel side for one target. `many_stacks` is for one that counts each of Python's objects: to the kernel side each
/// instruction that makes some has a stack of its own.
///
/// # Errors
///
/// Where the kernel refuses.
pub(super) fn load(
    config: &TraceConfig,
    process: &Process,
    many_stacks: bool,
) -> Result<Kernel, SessionError> {
    /// Stacks that the kernel side tells apart for one that is told apart here.
    const VARIANTS: u32 = 8;
    let kernel = Kernel::load(KernelSettings {
        target: TargetGroup::of(process.pid()),
        min_size: config.min_size,
        max_size: config.max_size,
        mark_every: config.mark_every,
        max_live: config.max_live,
        max_stacks: config.max_stacks,
        known_stacks: config.max_stacks.saturating_mul(if many_stacks { VARIANTS } else { 1 }),
        walk: match config.bench {
            Some(BenchMode::KernelStacks) => StackWalk::Kernel,
            Some(BenchMode::TailCalls) => StackWalk::TailCalls,
            _ => StackWalk::Best,
        },
        log: config.verbose > 1,
    })?;
    tell_memory(&kernel, "after loading");
    Ok(kernel)
}

/// Says what the kernel side occupies. Not looked up when nobody would see it.
pub(super) fn tell_memory(kernel: &Kernel, when: &str) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let size = |bytes| bytesize::ByteSize(bytes).display().iec();
        let (maps, tables) = (locked_by_maps(), kernel.tables().bytes());
        tracing::debug!("maps {when}: {}, unwind tables {}", size(maps), size(tables));
    }
}
