//! Setting probes: by the inode that the target has mapped, never by a path of the host's.

use std::{
    fs::File,
    num::NonZeroU32,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use aya::programs::{
    ProgramError, UProbe,
    uprobe::{UProbeLinkId, UProbeScope},
};
use tracer_common::{CodeRange, POOL_REGISTER, limits::MAX_ALLOCATORS, names};

use super::{BpfError, Kernel, kernel::uprobe, semaphore};
use crate::{
    sites::{PoolSite, Role},
    units::{Addr, FileOffset, Pid},
};

const POOL_TAKEN_PROGRAM: &str = "python_pool_taken";

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

/// A probe that is set.
#[derive(Debug)]
pub(super) struct Probe {
    device: u64,
    number: u64,
    program: &'static str,
    link: UProbeLinkId,
}

impl Kernel {
    /// Probes an allocation or mapping function. `offset` is that of the instruction to probe.
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
            Role::Mmap => "enter_mmap",
            Role::Munmap => "enter_munmap",
            Role::Mremap => "enter_mremap",
            Role::Brk => "enter_brk",
            Role::Sbrk => "enter_sbrk",
            Role::OperatorNew => "enter_operator_new",
            Role::PythonMalloc => "enter_python_malloc",
            Role::PythonCalloc => "enter_python_calloc",
            Role::PythonRealloc => "enter_python_realloc",
            Role::PythonFree => "enter_python_free",
        };
        let leave = match role {
            Role::Mmap | Role::Mremap | Role::Brk | Role::Sbrk => Some("leave_mapping"),
            _ => role.call_kind().map(|_| "leave"),
        };
        if let Some(leave) = leave {
            self.attach(file, leave, offset, function)?;
        }
        self.attach(file, entry, offset, function)
    }

    /// Probes an instruction that an `operator new` ends with. To be done before the operators' own probes.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses the probe.
    pub fn attach_exit(
        &mut self,
        file: ProbedFile<'_>,
        offset: FileOffset,
    ) -> Result<(), BpfError> {
        self.attach(file, "leave_operator_new", offset, "the end of operator new")
    }

    /// Probes an allocation function with programs that do nothing: for the bench, what probes cost at least.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses the probe.
    pub fn attach_floor(
        &mut self,
        file: ProbedFile<'_>,
        role: Role,
        offset: FileOffset,
        function: &str,
    ) -> Result<(), BpfError> {
        if role.call_kind().is_some() {
            self.attach(file, "floor_return", offset, function)?;
        }
        self.attach(file, "floor_entry", offset, function)
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

    /// Marks at the target's own probe `memtrace:iteration`. Raises its semaphore, if it has one, for as long as the
    /// probe is set.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses the probe.
    pub fn attach_usdt(
        &mut self,
        file: ProbedFile<'_>,
        offset: FileOffset,
        semaphore: Option<FileOffset>,
    ) -> Result<(), BpfError> {
        const NAME: &str = "memtrace:iteration";
        let Some(counter) = semaphore else { return self.attach(file, "mark_usdt", offset, NAME) };
        let failed = |source: ProgramError| BpfError::Attach {
            function: NAME.to_owned(),
            path: file.path.to_owned(),
            source: source.into(),
        };
        let probe = uprobe(&mut self.ebpf, "mark_usdt")?;
        let program = probe.fd().map_err(failed)?.as_fd();
        let event = semaphore::attach(program, &held_path(file.file), file.pid, offset, counter)
            .map_err(|error| failed(ProgramError::IOError(error)))?;
        self.guarded.push(event);
        Ok(())
    }

    /// Has the kernel side remember the checksums of Python's code objects, which saves reading each in each stack: for that
    /// it has to hear of every one that is freed. `offset` is that of the function that does so (`tp_dealloc` of
    /// `PyCode_Type`, in the interpreter's object). To be called after each [`Kernel::set_python`] that names an interpreter.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses the probe; then nothing is remembered, and stacks are as right as with it.
    pub fn attach_python_code(
        &mut self,
        file: ProbedFile<'_>,
        offset: FileOffset,
    ) -> Result<(), BpfError> {
        self.attach(file, "python_code_freed", offset, "the function that frees Python code")?;
        self.remember_python_code()
    }

    /// Has the kernel side remember who takes pools of Python's own allocator, from now on at this place; in a `file`, unless the
    /// probe is set already. For one interpreter in the target: the register is the same for all.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses the probe.
    pub fn follow_python_pools(
        &mut self,
        site: PoolSite,
        file: Option<ProbedFile<'_>>,
    ) -> Result<(), BpfError> {
        let register = u64::from(site.register);
        let told = self.maps.pool_words.set(POOL_REGISTER, register, 0);
        told.map_err(BpfError::map(names::POOL_WORDS))?;
        let Some(file) = file else { return Ok(()) };
        self.attach(file, POOL_TAKEN_PROGRAM, site.offset, "what takes a pool of Python's")
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

    /// Tells us when an interpreter of Python's is ready.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses the probe.
    pub fn attach_python(
        &mut self,
        file: ProbedFile<'_>,
        offset: FileOffset,
        function: &str,
    ) -> Result<(), BpfError> {
        self.attach(file, "python_starts", offset, function)
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

    /// Takes out all probes of a file, which has other content by now: they lie anywhere in it, and the kernel goes on to
    /// execute the instructions that were there before. Gives how many there were. Each takes some 75 ms.
    ///
    /// # Errors
    ///
    /// Where a program is missing, which would be a fault of ours.
    pub fn detach_file(&mut self, device: u64, number: u64) -> Result<usize, BpfError> {
        self.detach(|probe| (probe.device, probe.number) == (device, number))
    }

    /// Takes out the probes of [`Kernel::follow_python_pools`].
    ///
    /// # Errors
    ///
    /// As [`Kernel::detach_file`].
    pub fn detach_python_pools(&mut self) -> Result<(), BpfError> {
        self.detach(|probe| probe.program == POOL_TAKEN_PROGRAM).map(drop)
    }

    fn detach(&mut self, is_meant: impl Fn(&Probe) -> bool) -> Result<usize, BpfError> {
        let gone: Vec<_> = self.probes.extract_if(.., |probe| is_meant(probe)).collect();
        let count = gone.len();
        for Probe { program, link, .. } in gone {
            let probe: &mut UProbe = uprobe(&mut self.ebpf, program)?;
            probe.detach(link).map_err(BpfError::program(program, "detaching"))?;
        }
        Ok(count)
    }

    fn attach(
        &mut self,
        file: ProbedFile<'_>,
        program: &'static str,
        offset: FileOffset,
        function: &str,
    ) -> Result<(), BpfError> {
        let program = self.chain.head(program);
        let probe: &mut UProbe = uprobe(&mut self.ebpf, program)?;
        let path = held_path(file.file);
        let scope = NonZeroU32::new(file.pid.0)
            .map_or(UProbeScope::CallingProcess, UProbeScope::OneProcess);
        let mut attached = probe.attach(offset.0, &path, scope);
        for _ in 0..ATTEMPTS {
            if !attached.as_ref().is_err_and(is_interrupted) {
                break;
            }
            attached = probe.attach(offset.0, &path, scope);
        }
        let link = attached.map_err(|source| BpfError::Attach {
            function: function.to_owned(),
            path: file.path.to_owned(),
            source: source.into(),
        })?;
        if let Ok(metadata) = file.file.metadata() {
            let (device, number) = (metadata.dev(), metadata.ino());
            self.probes.push(Probe { device, number, program, link });
        }
        Ok(())
    }
}

/// How often a probe is tried that a signal keeps from being set.
const ATTEMPTS: usize = 100;

/// Whether a signal to us came in between. While the target is at an `execve` the kernel waits for it, unless there is a signal;
/// and that a target under `exec` stops, or goes on, is one.
fn is_interrupted(error: &ProgramError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|error| error.kind() == std::io::ErrorKind::Interrupted) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The kernel resolves the path once, to the inode; through our own descriptor it is the one that we looked at, whatever
/// the target's file system does meanwhile.
fn held_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
