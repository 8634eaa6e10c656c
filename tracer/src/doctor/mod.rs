//! `memtrace doctor`: what works on this machine, and for one target, and what to do about the rest.
//!
//! A check is a function that returns a [`Finding`]. It never fails: what it can't find out is a finding, too.
//! Nothing here attaches to the target.

mod finding;
mod kernel;
mod machine;
mod maps;
mod objects;
mod print;
mod privileges;
mod process;
mod trial;

use crate::{release::KernelRelease, units::Pid};

pub use finding::{Finding, State};

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub struct DoctorConfig {
    /// A process that somebody wants to trace.
    pub pid: Option<Pid>,
    /// Capacity of the live set, blocks.
    pub max_live: u32,
    /// Capacity for stacks.
    pub max_stacks: u32,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// For people, in the order of the checks.
    pub text: String,
    /// Whether nothing keeps memtrace from working.
    pub works: bool,
}

/// Makes all checks.
pub fn diagnose(config: DoctorConfig) -> Diagnosis {
    let release = KernelRelease::running();
    let mut sections =
        vec![("This machine".to_owned(), machine_findings(&release)), maps::section(config)];
    if let Some(pid) = config.pid {
        sections.push((format!("Process {pid}"), process::findings(pid, &release)));
    }
    let findings = || sections.iter().flat_map(|(_, findings)| findings);
    let works = findings().all(|finding| finding.state != State::Bad);
    Diagnosis { text: print::text(&sections), works }
}

fn machine_findings(release: &KernelRelease) -> Vec<Finding> {
    let mut findings = vec![
        privileges::user(),
        privileges::capabilities(),
        privileges::proc(),
        kernel::release(release),
        kernel::seccomp(release),
        kernel::btf(),
        machine::uprobes(),
        machine::paranoid(),
        machine::lockdown(),
        machine::membarrier(),
    ];
    findings.extend(trial::findings());
    findings
}
