//! Sets probes on whatever allocates in the target: at the attach, and again whenever it maps more code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
};

use super::{
    SessionError,
    linkers::{self, Linkers},
    mark_function::MarkProbes,
    python,
    python_objects::ObjectProbes,
    unwinding::Unwinding,
};
use crate::{
    bpf::{Kernel, ProbedFile},
    cli::{BenchMode, TraceConfig},
    sites::{self, Allocator, FunctionSites, Role},
    target::{Module, ModuleId, Modules, read_object},
    units::{Addr, FileOffset, Pid},
};

/// Knows which objects are probed already.
#[derive(Debug)]
pub(super) struct Prober {
    /// The process, or that thread of it through which its address space is reached: the main one, as long as
    /// it lives.
    pid: Pid,
    mark: MarkProbes,
    bench: Option<BenchMode>,
    /// Places of the target's own probe.
    pub(super) usdt: usize,
    /// Modules that were probed since the image was last replaced.
    fresh: BTreeSet<ModuleId>,
    functions: usize,
    mappings: usize,
    allocators: Vec<String>,
    is_go: bool,
    /// Which module each file is, by device and number.
    files: BTreeMap<(u64, u64), ModuleId>,
    /// The dynamic linkers of all images.
    linkers: Linkers,
    /// What the kernel side knows by address, which another image has elsewhere.
    placed: BTreeMap<ModuleId, Placed>,
    /// Python's own allocator.
    pub(super) objects: ObjectProbes,
}

/// What of an object the kernel side has to know by its address in the target.
#[derive(Debug, Default)]
struct Placed {
    code: Option<(FileOffset, FileOffset)>,
    /// Where the object was when the kernel side was told; `None` before.
    at: Option<Addr>,
}

impl Prober {
    pub(super) fn new(pid: Pid, config: &TraceConfig) -> Self {
        Self {
            pid,
            mark: MarkProbes::new(config),
            bench: config.bench,
            usdt: 0,
            fresh: BTreeSet::new(),
            functions: 0,
            mappings: 0,
            allocators: Vec::new(),
            is_go: false,
            files: BTreeMap::new(),
            linkers: Linkers::default(),
            placed: BTreeMap::new(),
            objects: ObjectProbes::new(config),
        }
    }

    /// Whose probes they are.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Reads the target's mappings, has them unwound, and probes what is new among them. Gives whether anything was.
    ///
    /// # Errors
    ///
    /// Where the target has ended, or the kernel refuses a probe.
    pub(super) fn refresh(
        &mut self,
        kernel: &mut Kernel,
        modules: &mut Modules,
        unwinding: &mut Unwinding,
    ) -> Result<bool, SessionError> {
        // In this order: if the image is replaced in between, what we read is not taken for the old one's.
        let before = kernel.state()?;
        if unwinding.is_in_vain(&before) {
            return Ok(false);
        }
        let new = modules.refresh(self.pid)?;
        let after = kernel.state()?;
        unwinding.look(kernel, modules, &before, &after)?;
        let any_new = !new.is_empty();
        for module in new {
            self.fresh.insert(module.id);
            self.probe(kernel, &module)?;
            // Its stacks don't have to wait until the others are probed.
            unwinding.take_finished(kernel)?;
        }
        self.place(kernel, modules)?;
        if let Some(address) = modules.trampoline() {
            kernel.set_trampoline(address)?;
        }
        Ok(any_new)
    }

    /// Probes what an earlier run of the same command had mapped: it is probed before it is mapped again.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses a probe.
    pub(super) fn probe_known(
        &mut self,
        kernel: &mut Kernel,
        modules: &Modules,
    ) -> Result<(), SessionError> {
        modules.all().iter().try_for_each(|module| self.probe(kernel, module))
    }

    /// Sets all probes again, through another thread: those that are set for a task which has ended do not
    /// fire any more.
    ///
    /// # Errors
    ///
    /// As [`Prober::refresh`].
    pub(super) fn move_to(
        &mut self,
        thread: Pid,
        kernel: &mut Kernel,
        modules: &mut Modules,
        unwinding: &mut Unwinding,
    ) -> Result<(), SessionError> {
        self.pid = thread;
        let known = modules.all().to_vec();
        let fresh = self.fresh.clone();
        self.refresh(kernel, modules, unwinding)?;
        for module in known.iter().filter(|module| !fresh.contains(&module.id)) {
            self.probe(kernel, module)?;
        }
        Ok(())
    }

    /// From here on, what is probed is probed for the task that has the process's id now.
    pub(super) fn begin_image(&mut self) {
        self.fresh.clear();
        self.placed.values_mut().for_each(|placed| placed.at = None);
    }

    /// How many allocation functions were probed, in all objects so far.
    pub(super) fn functions(&self) -> usize {
        self.functions
    }

    /// Whether anything allocates, and marks, as asked for.
    ///
    /// # Errors
    ///
    /// Where it doesn't, with what was looked for.
    pub(super) fn check(&self, modules: &Modules) -> Result<(), SessionError> {
        if self.functions == 0 {
            let paths = modules.all().iter().filter(|module| module.file.is_some());
            let objects: Vec<_> = paths.map(|module| module.path.display().to_string()).collect();
            let reason = if self.is_go {
                "it is a Go program, whose memory is managed by Go's own runtime"
            } else if objects.len() == 1 {
                "it is statically linked and has no symbols for its allocator; one that is not stripped can be traced"
            } else {
                "no object of it defines one"
            };
            return Err(SessionError::NoAllocator {
                pid: self.pid,
                reason,
                objects: objects.join(", "),
            });
        }
        self.mark.check()
    }

    /// What is probed, in a phrase.
    pub(super) fn summary(&self) -> String {
        let allocators = self.allocators.join(", ");
        format!("{} functions in {allocators}, {} for mappings", self.functions, self.mappings)
    }

    fn probe(&mut self, kernel: &mut Kernel, module: &Arc<Module>) -> Result<(), SessionError> {
        let Some(file) = module.file.as_deref() else { return Ok(()) };
        let Ok(object) = read_object(file) else {
            tracing::warn!("{}: can't be read, so it is not probed", module.path.display());
            return Ok(());
        };
        let probed = ProbedFile { file, path: &module.path, pid: self.pid };
        self.forget_rewritten(kernel, module, file)?;
        self.is_go |= sites::is_go(&object);
        if let Some(hook) = sites::find_symbol(&object, linkers::HOOK) {
            kernel.attach_linker(probed, hook.site.offset, linkers::HOOK)?;
            self.linkers.add(module.id, &object);
        }
        if let Some(start) = sites::find_symbol(&object, python::START) {
            kernel.attach_python(probed, start.site.offset, python::START)?;
        }
        self.probe_allocator(kernel, module.id, probed, &object)?;
        self.objects.look(module, &object);
        self.probe_objects_of(kernel, module)?;
        self.probe_mappings(kernel, probed, &object)?;
        self.mark.probe(kernel, probed, module, &object)?;
        self.probe_usdt(kernel, probed, &object)
    }

    /// The file may be one that was mapped before, with other content.
    fn forget_rewritten(
        &mut self,
        kernel: &mut Kernel,
        module: &Module,
        file: &File,
    ) -> Result<(), SessionError> {
        let Ok(metadata) = file.metadata() else { return Ok(()) };
        let (device, number) = (metadata.dev(), metadata.ino());
        let before = self.files.insert((device, number), module.id);
        if before.is_some_and(|before| before != module.id) {
            let probes = kernel.detach_file(device, number)?;
            if probes > 0 {
                tracing::warn!(
                    "{} was written anew with {probes} probes in it: until they were taken out just now, wherever \
                     one was, the kernel executed the old instruction; replace such files by renaming a new one",
                    module.path.display()
                );
            }
        }
        Ok(())
    }

    /// Tells the kernel side of what it knows by address, where that is new or has changed.
    fn place(&mut self, kernel: &mut Kernel, modules: &Modules) -> Result<(), SessionError> {
        let mut allocators = 0;
        for (&module, placed) in &mut self.placed {
            let index = allocators;
            allocators += u32::from(placed.code.is_some());
            let code = placed.code.and_then(|(first, last)| {
                modules
                    .address_of_offset(module, first)
                    .zip(modules.address_of_offset(module, last))
            });
            if let Some((start, end)) = code
                && placed.at != Some(start)
            {
                placed.at = Some(start);
                kernel.set_allocator(index, start, end)?;
            }
        }
        self.linkers.tell(kernel, modules)
    }

    fn probe_allocator(
        &mut self,
        kernel: &mut Kernel,
        module: ModuleId,
        probed: ProbedFile<'_>,
        object: &[u8],
    ) -> Result<(), SessionError> {
        let allocator = match sites::allocator_sites(object) {
            Ok(allocator) => allocator,
            Err(error) => {
                tracing::debug!("{}: {error}", probed.path.display());
                return Ok(());
            }
        };
        for exit in &allocator.exits {
            kernel.attach_exit(probed, *exit)?;
        }
        self.attach_all(kernel, probed, &allocator.functions)?;
        if !allocator.exits.is_empty() {
            tracing::debug!("probing {} ends of operator new", allocator.exits.len());
        }
        self.placed.entry(module).or_default().code = own_code(&allocator);
        for note in &allocator.notes {
            tracing::warn!("{}: {note}", probed.path.display());
        }
        if !allocator.functions.is_empty() {
            self.functions += allocator.functions.len();
            self.allocators.push(file_name(probed.path));
        }
        Ok(())
    }

    /// The second domain. A program without it can be traced all the same.
    fn probe_mappings(
        &mut self,
        kernel: &mut Kernel,
        probed: ProbedFile<'_>,
        object: &[u8],
    ) -> Result<(), SessionError> {
        // What can't be read has been said when allocators were looked for.
        let Ok(mapping) = sites::mapping_sites(object) else { return Ok(()) };
        self.attach_all(kernel, probed, &mapping.functions)?;
        for note in &mapping.notes {
            tracing::warn!("{}: {note}", probed.path.display());
        }
        self.mappings += mapping.functions.len();
        Ok(())
    }

    pub(super) fn attach_all(
        &self,
        kernel: &mut Kernel,
        probed: ProbedFile<'_>,
        functions: &[FunctionSites],
    ) -> Result<(), SessionError> {
        for FunctionSites { role, site, name, .. } in functions {
            match self.bench {
                None | Some(BenchMode::KernelStacks | BenchMode::TailCalls) => {
                    kernel.attach_function(probed, *role, site.offset, name)?;
                }
                Some(BenchMode::Floor) => kernel.attach_floor(probed, *role, site.offset, name)?,
                Some(BenchMode::OffsetZero) => {
                    let start = FileOffset(site.offset.0 - u64::from(site.skip));
                    kernel.attach_function(probed, *role, start, name)?;
                }
            }
            tracing::debug!(
                "probing {name} in {} at +{} ({}), {}",
                probed.path.display(),
                site.skip,
                site.instruction,
                if site.emulated { "emulated" } else { "single-step" },
            );
        }
        Ok(())
    }
}

/// From the first to the last function that is defined in one source file everywhere: between them lies the
/// allocator's own code. (`reallocarray` is built from a file of its own, and so are C++'s operators.)
///
/// In a program that defines its own, or was put in another order by its linker, other code may lie between: that
/// is noticed by the distance, and nothing is taken for the allocator's own then.
fn own_code(allocator: &Allocator) -> Option<(FileOffset, FileOffset)> {
    /// glibc's `malloc.c` takes 7 KB from its first to its last public function.
    const FARTHEST: u64 = 32 << 10;
    let starts = allocator
        .functions
        .iter()
        .filter(|function| function.role != Role::Reallocarray && !function.name.starts_with("_Z"))
        .map(|function| FileOffset(function.site.offset.0 - u64::from(function.site.skip)));
    let (first, last) = starts.clone().min().zip(starts.max())?;
    (last.0 - first.0 <= FARTHEST).then_some((first, last))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
