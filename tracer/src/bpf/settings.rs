//! What user space asks of the kernel side: for a whole run, and mark by mark.

use tracer_common::Trigger;

use super::TargetGroup;

/// What is fixed for a whole run.
#[derive(Clone, Copy, Debug)]
pub struct KernelSettings {
    /// The target's thread group.
    pub target: TargetGroup,
    /// Smallest block to record, in bytes.
    pub min_size: u64,
    /// Largest block to record, in bytes.
    pub max_size: u64,
    /// A mark at each so many entries of the mark function; at least 1.
    pub mark_every: u64,
    /// Capacity of the live set, in blocks.
    pub max_live: u32,
    /// Distinct stacks in an epoch.
    pub max_stacks: u32,
    /// Distinct stacks that need not be told of again.
    pub known_stacks: u32,
    /// How stacks are walked.
    pub walk: StackWalk,
    /// Whether the programs log what they find odd.
    pub log: bool,
}

/// How the kernel side walks stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackWalk {
    /// By tables, as well as this kernel can.
    Best,
    /// By tables, as on kernels without `bpf_loop`.
    TailCalls,
    /// By `bpf_get_stack`, as other tools do.
    Kernel,
}

/// A mark that user space asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserMark {
    /// The clock says so.
    Interval,
    /// The trace ends.
    End,
    /// A script says so.
    Control,
    /// SIGUSR2 came.
    Signal,
    /// Enter was pressed.
    Key,
    /// There are so many rows that they have to be drained; ends no iteration.
    Full,
}

impl UserMark {
    pub(super) const fn trigger(self) -> Trigger {
        match self {
            Self::Interval => Trigger::Interval,
            Self::End => Trigger::End,
            Self::Control => Trigger::Control,
            Self::Signal => Trigger::Signal,
            Self::Key => Trigger::Key,
            Self::Full => Trigger::Full,
        }
    }
}
