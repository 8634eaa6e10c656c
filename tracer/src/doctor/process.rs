//! One target: may it be traced, and how well?

use super::{Finding, objects};
use crate::{
    release::KernelRelease,
    target::{Hazards, Modules, PidNamespace, Process},
    units::Pid,
};

/// The checks of one process. Nothing is attached to it.
pub(super) fn findings(pid: Pid, release: &KernelRelease) -> Vec<Finding> {
    let process = match Process::open(pid) {
        Ok(process) => process,
        Err(error) => return vec![Finding::error("process", &error)],
    };
    let mut modules = Modules::default();
    let mut findings = vec![
        Finding::ok("program", process.program().display().to_string()),
        namespace(pid),
        hazards(pid, release),
    ];
    match modules.refresh(pid) {
        Ok(_) => findings.extend(objects::findings(pid, &process.program(), modules.all())),
        Err(error) => findings.push(Finding::error("mappings", &error)),
    }
    findings
}

fn namespace(pid: Pid) -> Finding {
    let detail = match PidNamespace::of(pid) {
        Some(own) if own.tgid == pid.0 => format!("{pid}, in its own pid namespace too"),
        Some(own) => format!("{pid} here, {} in its own pid namespace", own.tgid),
        None => format!("{pid}; this kernel has no pid namespaces"),
    };
    Finding::ok("pid", detail)
}

fn hazards(pid: Pid, release: &KernelRelease) -> Finding {
    const WHAT: &str = "return probes";
    let hazards = match Hazards::of(pid) {
        Ok(hazards) => hazards,
        Err(error) => return Finding::error(WHAT, &error),
    };
    if let Err(error) = hazards.check(pid, release, false) {
        return Finding::error(WHAT, &error);
    }
    let seccomp = if hazards.seccomp { "a seccomp filter" } else { "no seccomp filter" };
    let shadow = if hazards.shadow_stack { "a shadow stack" } else { "no shadow stack" };
    Finding::ok(WHAT, format!("safe on this kernel (it has {seccomp} and {shadow})"))
}
