//! Which thread group the kernel side follows, for events that aren't filtered by address space.

use crate::{target::PidNamespace, units::Pid};

/// A thread group, in a numbering that the kernel side can check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetGroup {
    /// As its own pid namespace numbers it.
    Namespaced(PidNamespace),
    /// As the initial pid namespace numbers it; for a kernel that has no other.
    Initial(Pid),
}

impl TargetGroup {
    /// The group of a running process.
    pub fn of(pid: Pid) -> Self {
        PidNamespace::of(pid).map_or(Self::Initial(pid), Self::Namespaced)
    }

    pub(super) fn tgid(self) -> u32 {
        match self {
            Self::Namespaced(own) => own.tgid,
            Self::Initial(pid) => pid.0,
        }
    }

    /// Device and inode of the namespace; 0 for the initial one.
    pub(super) fn namespace(self) -> (u64, u64) {
        match self {
            Self::Namespaced(own) => (own.device, own.inode),
            Self::Initial(_) => (0, 0),
        }
    }
}
