//! A trial run of everything that a trace needs: the only check that proves it.

use std::{ffi::OsString, process::Child};

use super::{Finding, finding::chain};
use crate::{
    bpf::{BpfError, Kernel, KernelSettings, ProbedFile, StackWalk, TargetGroup, UserMark},
    sites::{Role, allocator_sites},
    target::{Held, Modules, Progress, TargetError, read_object},
    units::Pid,
};

/// Room enough for a trial.
const CAPACITY: u32 = 1024;

/// Loads the programs, attaches them, and traces one command.
pub(super) fn findings() -> Vec<Finding> {
    let mut kernel = match Kernel::load(settings(CAPACITY, CAPACITY)) {
        Ok(kernel) => kernel,
        Err(error) => return vec![Finding::error("eBPF programs", &error)],
    };
    vec![Finding::ok("eBPF programs", "loaded"), tracepoints(&mut kernel), exec(&mut kernel)]
}

/// What a trial or a computation loads: recorded is nothing of interest.
pub(super) fn settings(max_live: u32, max_stacks: u32) -> KernelSettings {
    KernelSettings {
        target: TargetGroup::of(Pid(std::process::id())),
        min_size: 0,
        max_size: u64::MAX,
        mark_every: 1,
        max_live,
        max_stacks,
        known_stacks: max_stacks,
        walk: StackWalk::Best,
        log: false,
    }
}

fn tracepoints(kernel: &mut Kernel) -> Finding {
    match kernel.watch_processes().and_then(|()| kernel.mark(UserMark::Interval)) {
        Ok(_) => Finding::ok("tracepoints", "attached; a mark was made"),
        Err(error) => {
            let remedy = "boot a kernel with CONFIG_BPF_EVENTS=y and CONFIG_TRACEPOINTS=y";
            Finding::bad("tracepoints", chain(&error), remedy)
        }
    }
}

/// A command that is held by a debug register until its entry point, and one probed function in it.
fn exec(kernel: &mut Kernel) -> Finding {
    const WHAT: &str = "trial run";
    let held = match Held::start(&["sh", "-c", ":"].map(OsString::from), None, &[]) {
        Ok(held) => held,
        Err(error) => {
            let remedy = "allow ptrace here (docker run --cap-add SYS_PTRACE), or use --pid only";
            return Finding::warn(WHAT, chain(&error), remedy);
        }
    };
    let started = "`sh -c :` was held before its first instruction";
    match trace(kernel, held) {
        Ok(Some(calls)) => {
            Finding::ok(WHAT, format!("{started}; malloc was probed, and called {calls} times"))
        }
        Ok(None) => Finding::ok(WHAT, format!("{started}; it has no malloc to probe")),
        Err(error) => {
            let remedy = "run memtrace outside the container, or start that with --privileged";
            Finding::bad(WHAT, chain(&error), remedy)
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum TrialError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Bpf(#[from] BpfError),
}

fn trace(kernel: &mut Kernel, held: Held) -> Result<Option<u64>, TrialError> {
    let pid = held.pid();
    let mut modules = Modules::default();
    let mut probed = false;
    kernel.start()?;
    let launched = held.run_to_entry(|progress| {
        if progress == Progress::AtEntry {
            modules.refresh(pid)?;
            probed = probe_malloc(kernel, &modules, pid)?;
        }
        Ok::<_, TrialError>(())
    })?;
    reap(launched.child);
    let calls = kernel.tally()?.get(tracer_common::TallyKind::AllocCalls);
    Ok(probed.then_some(calls))
}

fn probe_malloc(kernel: &mut Kernel, modules: &Modules, pid: Pid) -> Result<bool, TrialError> {
    for module in modules.all() {
        let Some(file) = module.file.as_deref() else { continue };
        let Ok(object) = read_object(file) else { continue };
        let Ok(allocator) = allocator_sites(&object) else { continue };
        if let Some(malloc) =
            allocator.functions.iter().find(|function| function.role == Role::Malloc)
        {
            let file = ProbedFile { file, path: &module.path, pid };
            kernel.attach_function(file, malloc.role, malloc.site.offset, &malloc.name)?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn reap(mut child: Child) {
    // It does nothing and ends by itself; there is nothing to learn from its status.
    let _ = child.wait();
}
