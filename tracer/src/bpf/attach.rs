//! Setting probes: by the inode that the target has mapped, never by a path of the host's.

use std::{
    fs::File,
    num::NonZeroU32,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use aya::programs::{UProbe, uprobe::UProbeScope};
use tracer_common::{
    CodeRange, ShimStep,
    limits::{MAX_ALLOCATORS, MAX_SHIMS},
    names,
};

use super::{BpfError, Kernel, kernel::uprobe};
use crate::{
    sites::Role,
    units::{Addr, FileOffset, Pid},
};

/// An object of the target, held open.
#[derive(Clone, Copy, Debug)]
pub struct ProbedFile<'a> {
    /// The very inode that is mapped.
    pub file: &'a File,
    /// What to call it in messages.
    pub path: &'a Path,
    /// Whose probes they are. The kernel sets them in this process's address space only.
    pub pid: Pid,
}

impl Kernel {
    /// Probes an allocation function. `offset` is that of the instruction to probe.
    ///
    /// The return probe comes first: an entry whose return isn't probed yet would be counted as lost.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses the probe.
    pub fn attach_function(
        &mut self,
        file: ProbedFile<'_>,
        role: Role,
        offset: FileOffset,
        function: &str,
    ) -> Result<(), BpfError> {
        let entry = match role {
            Role::Malloc => "enter_malloc",
            Role::Calloc => "enter_calloc",
            Role::Aligned => "enter_aligned",
            Role::Realloc => "enter_realloc",
            Role::Reallocarray => "enter_reallocarray",
            Role::PosixMemalign => "enter_posix_memalign",
            Role::Free => "enter_free",
        };
        if role != Role::Free {
            self.attach(file, "leave", offset, function)?;
        }
        self.attach(file, entry, offset, function)
    }

    /// Marks at the entry of a function.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses the probe.
    pub fn attach_mark(
        &mut self,
        file: ProbedFile<'_>,
        offset: FileOffset,
        function: &str,
    ) -> Result<(), BpfError> {
        self.attach(file, "mark_fn", offset, function)
    }

    /// Tells us of each object that the dynamic linker loads from now on.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses the probe.
    pub fn attach_linker(
        &mut self,
        file: ProbedFile<'_>,
        offset: FileOffset,
        function: &str,
    ) -> Result<(), BpfError> {
        self.attach(file, "objects_changed", offset, function)
    }

    /// Makes the return addresses of allocation shims known. Those beyond the map's capacity are left
    /// out: their callers' frames are missing from stacks, no number is affected.
    ///
    /// # Errors
    ///
    /// Where the map can't be written.
    pub fn add_shims(&mut self, steps: impl IntoIterator<Item = (Addr, ShimStep)>) -> Result<(), BpfError> {
        for (address, step) in steps.into_iter().take(MAX_SHIMS as usize) {
            self.maps.shims.insert(address.0, step, 0).map_err(BpfError::map(names::SHIMS))?;
        }
        Ok(())
    }

    /// Makes the code of the `index`th allocator known, so that its own frees can be told from the program's. One
    /// beyond [`MAX_ALLOCATORS`] is left out: its own frees then count as frees of unknown blocks.
    ///
    /// # Errors
    ///
    /// Where the map can't be written.
    pub fn set_allocator(&mut self, index: u32, start: Addr, end: Addr) -> Result<(), BpfError> {
        if index >= MAX_ALLOCATORS {
            return Ok(());
        }
        let range = CodeRange { start: start.0, end: end.0 };
        self.maps.allocators.set(index, range, 0).map_err(BpfError::map(names::ALLOCATORS))
    }

    fn attach(
        &mut self,
        file: ProbedFile<'_>,
        program: &'static str,
        offset: FileOffset,
        function: &str,
    ) -> Result<(), BpfError> {
        let probe: &mut UProbe = uprobe(&mut self.ebpf, program)?;
        // The kernel resolves the path once, to the inode; through our own descriptor it is the one that
        // we looked at, whatever the target's file system does meanwhile.
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.file.as_raw_fd()));
        let scope = NonZeroU32::new(file.pid.0).map_or(UProbeScope::CallingProcess, UProbeScope::OneProcess);
        probe.attach(offset.0, path, scope).map(drop).map_err(|source| BpfError::Attach {
            function: function.to_owned(),
            path: file.path.to_owned(),
            source,
        })
    }
}
