//! Kernels without `bpf_loop` (before 5.17): there a stack walk is a chain of programs, which has to be linked.

use aya::{
    Ebpf,
    maps::{MapData, ProgramArray},
};
use tracer_common::{chain::PROGRAMS, names};

use super::{BpfError, StackWalk, kernel::uprobe, maps::take};

/// The chain, where there is one. The kernel takes it apart when this is dropped.
pub(super) struct Chain(Option<ProgramArray<MapData>>);

impl Chain {
    /// Links it, if this kernel needs one: that is tried, because distributions bring new features to old kernels.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses a program of it.
    pub(super) fn link(ebpf: &mut Ebpf, walk: StackWalk) -> Result<Self, BpfError> {
        if walk == StackWalk::Kernel
            || (walk == StackWalk::Best && uprobe(ebpf, "has_loops").is_ok())
        {
            return Ok(Self(None));
        }
        tracing::debug!("without bpf_loop, stacks are walked by a chain of programs");
        let mut programs: ProgramArray<MapData> = take(ebpf, names::CHAIN)?;
        for (number, name) in PROGRAMS {
            let fd = uprobe(ebpf, name)?.fd().map_err(BpfError::program(name, "converting"))?;
            programs.set(number, fd, 0).map_err(BpfError::map(names::CHAIN))?;
        }
        Ok(Self(Some(programs)))
    }

    /// Whether there is one.
    pub(super) fn is_linked(&self) -> bool {
        self.0.is_some()
    }

    /// The program to attach in a program's stead.
    pub(super) fn head(&self, program: &'static str) -> &'static str {
        match program {
            _ if self.0.is_none() => program,
            "leave" => "leave_chained",
            "leave_operator_new" => "leave_operator_new_chained",
            "leave_mapping" => "leave_mapping_chained",
            other => other,
        }
    }
}
