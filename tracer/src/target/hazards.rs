//! What would make probing a process dangerous to it. Looked at before anything is attached.

use std::fs;

use super::TargetError;
use crate::{release::KernelRelease, units::Pid};

/// What `/proc/PID` says about a process that a return probe may collide with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hazards {
    /// A thread of it has a seccomp filter, or is in strict mode.
    pub seccomp: bool,
    /// A thread of it has a shadow stack.
    pub shadow_stack: bool,
}

impl Hazards {
    /// Reads the status of every thread: both are properties of threads, not of processes.
    ///
    /// # Errors
    ///
    /// Where the process has ended.
    pub fn of(pid: Pid) -> Result<Self, TargetError> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))
            .map_err(TargetError::io(pid, "listing its threads"))?;
        let mut hazards = Self::default();
        for task in tasks.flatten() {
            // A thread that ended meanwhile endangers nobody.
            if let Ok(status) = fs::read_to_string(task.path().join("status")) {
                hazards.add(&status);
            }
        }
        Ok(hazards)
    }

    /// Refuses what this kernel would answer with the target's death.
    ///
    /// # Errors
    ///
    /// Where return probes would end the process. `allow_seccomp` says that its filter is known to allow
    /// system call 335.
    pub fn check(
        self,
        pid: Pid,
        kernel: &KernelRelease,
        allow_seccomp: bool,
    ) -> Result<(), TargetError> {
        let release = || kernel.to_string();
        if self.seccomp && !allow_seccomp && kernel.seccomp_kills_return_probes() {
            return Err(TargetError::SeccompWouldKill { pid, release: release() });
        }
        if self.shadow_stack && !kernel.return_probes_know_shadow_stacks() {
            return Err(TargetError::ShadowStack { pid, release: release() });
        }
        Ok(())
    }

    fn add(&mut self, status: &str) {
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().trim()
        };
        self.seccomp |= !matches!(value("Seccomp"), "" | "0");
        let mut features = value("x86_Thread_features").split_ascii_whitespace();
        self.shadow_stack |= features.any(|feature| feature == "shstk");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: Pid = Pid(7);

    fn hazards(statuses: &[&str]) -> Hazards {
        let mut hazards = Hazards::default();
        for status in statuses {
            hazards.add(status);
        }
        hazards
    }

    #[test]
    fn one_filtered_thread_is_enough() {
        let free = "Name:\tx\nSeccomp:\t0\nSeccomp_filters:\t0\nx86_Thread_features:\t\n";
        let filtered = "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        let shadowed =
            "Seccomp:\t0\nx86_Thread_features:\tshstk wrss \nx86_Thread_features_locked:\t\n";
        assert_eq!(hazards(&[free]), Hazards::default());
        assert_eq!(hazards(&[free, filtered]), Hazards { seccomp: true, shadow_stack: false });
        assert_eq!(hazards(&[free, shadowed]), Hazards { seccomp: false, shadow_stack: true });
        let locked = "x86_Thread_features:\t\nx86_Thread_features_locked:\tshstk wrss \n";
        assert_eq!(hazards(&[locked]), Hazards::default());
    }

    #[test]
    fn a_filter_is_refused_only_where_it_kills_and_only_without_consent() {
        let filtered = Hazards { seccomp: true, shadow_stack: false };
        let (bad, good) = (KernelRelease::parse("6.12.13"), KernelRelease::parse("6.12.14"));
        let refusal = filtered.check(PID, &bad, false).expect_err("it would be killed");
        assert!(refusal.to_string().contains("--allow-seccomp"), "{refusal}");
        assert!(filtered.check(PID, &bad, true).is_ok());
        assert!(filtered.check(PID, &good, false).is_ok());
        assert!(Hazards::default().check(PID, &bad, false).is_ok());
    }

    #[test]
    fn a_shadow_stack_is_refused_before_6_11_whatever_is_allowed() {
        let shadowed = Hazards { seccomp: false, shadow_stack: true };
        assert!(shadowed.check(PID, &KernelRelease::parse("6.10.0"), true).is_err());
        assert!(shadowed.check(PID, &KernelRelease::parse("6.11.0"), false).is_ok());
    }
}
