//! Has Python's objects counted, where that is asked for and can be done, and knows what the report has to say of it.

use std::{ffi::OsString, sync::Arc};

use super::{SessionError, prober::Prober, python_classes::ClassReader, python_pools::PoolProbe};
use crate::{
    bpf::{Kernel, ProbedFile},
    cli::{PythonObjects, Target, TraceConfig},
    ledger::ClassSample,
    python_objects::{
        CommandObjects, Interpreter, ObjectFunction, Objects, PythonObjectsError, VARIABLE,
        for_command,
    },
    report::CountedObjects,
    sites,
    target::{Module, Modules},
    units::Pid,
};

/// What is known of Python's objects in the target.
#[derive(Debug, Default)]
pub(super) struct ObjectProbes {
    /// Every object with an interpreter that was seen.
    pub(super) interpreters: Vec<Interpreter>,
    /// What is probed.
    functions: Vec<ObjectFunction>,
    counted: CountedObjects,
    /// With `--python-objects classes`.
    pub(super) classes: Option<ClassReader>,
    /// Whether the kernel side is to hear of pools that are taken. Not with several runs, after which nothing is read.
    pub(super) may_hear_of_pools: bool,
    /// How it does.
    pub(super) pools: PoolProbe,
}

/// What is to be done for a command that is about to be started.
pub(super) fn command_objects(config: &TraceConfig, command: &[OsString]) -> CommandObjects {
    if config.python_objects != PythonObjects::Exact {
        return CommandObjects::default();
    }
    let set = std::env::var_os(VARIABLE);
    let objects = for_command(command, set.as_deref(), !config.python_objects_by_default);
    for (name, value) in &objects.environment {
        tracing::debug!(
            "{name}={} is set for the command, so that each of its objects is counted",
            value.display()
        );
    }
    if let Some(hindrance) = &objects.hindrance {
        tracing::warn!(
            "Python's objects up to 512 bytes will not be counted: {hindrance}; leave that out, or give --python-objects off"
        );
    }
    objects
}

impl ObjectProbes {
    /// What is wanted. A command has no objects yet; what a process has is read when its probes are set.
    pub(super) fn new(config: &TraceConfig) -> Self {
        let is_command = matches!(config.target, Target::Exec { .. });
        let is_wanted = config.python_objects == PythonObjects::Classes;
        Self {
            classes: is_wanted.then(|| ClassReader::new(is_command)),
            may_hear_of_pools: is_wanted && config.runs == 1,
            ..Self::default()
        }
    }

    /// What was done for the command whose they are.
    pub(super) fn are_of_command(&mut self, objects: &CommandObjects) {
        self.counted = match objects {
            CommandObjects { hindrance: Some(why), .. } => CountedObjects::Hindered(why.clone()),
            CommandObjects { from_heap: true, environment, .. } => {
                CountedObjects::Heap { by_us: !environment.is_empty() }
            }
            CommandObjects { .. } => CountedObjects::No,
        };
    }

    /// What the report says; `None` where the target is not Python.
    pub(super) fn counted(&self) -> Option<&CountedObjects> {
        let by_class = self.classes.as_ref().and_then(|classes| classes.counted.as_ref());
        (!self.interpreters.is_empty()).then_some(by_class.unwrap_or(&self.counted))
    }

    /// Objects by size class when the trace began, with `--python-objects classes`, if they could be read.
    pub(super) fn first_classes(&self) -> Option<ClassSample> {
        self.classes.as_ref()?.first
    }

    /// Notes how many interpreters may have an allocator of their own, whose objects are not read: the most that there were.
    pub(super) fn note_others(&mut self, now: usize) {
        if let Some(reader) = &mut self.classes
            && let Some(CountedObjects::Classes { others, .. }) = &mut reader.counted
        {
            *others = now.max(*others);
        }
    }

    /// Reads the target's objects by size class, if that is wanted and can be done; `needed`: also where it was done a moment
    /// ago.
    pub(super) fn sample_classes(
        &mut self,
        pid: Pid,
        modules: &Modules,
        needed: bool,
        kernel: &mut Kernel,
    ) -> Option<ClassSample> {
        let kernel = self.pools.is_set().then_some(kernel);
        self.classes.as_mut()?.sample(pid, modules, &self.interpreters, needed, kernel)
    }

    /// Notes a module that was mapped, if it has an interpreter in it.
    pub(super) fn look(&mut self, module: &Module, object: &[u8]) {
        let tables = match sites::object_tables(object) {
            Ok(None) => return,
            Ok(Some(tables)) => Ok(tables),
            Err(error) => Err(error),
        };
        let is_known = |known: &Interpreter| known.module == module.id;
        if !self.interpreters.iter().any(is_known) {
            let path = module.path.clone();
            self.interpreters.push(Interpreter { module: module.id, path, tables });
        }
    }
}

impl Prober {
    /// Probes the functions that make and free objects in a process that runs, if that is asked for. Else only looks
    /// whether they are the C allocator's.
    ///
    /// # Errors
    ///
    /// Where it is asked for and can't be done.
    pub(super) fn probe_objects(
        &mut self,
        kernel: &mut Kernel,
        modules: &Modules,
        config: &TraceConfig,
    ) -> Result<(), SessionError> {
        let wish = config.python_objects;
        let is_wanted = wish == PythonObjects::Exact;
        let is_asked = wish != PythonObjects::Off && !config.python_objects_by_default;
        if is_asked && self.objects.interpreters.is_empty() {
            let how = if is_wanted { "exact" } else { "classes" };
            return Err(PythonObjectsError::NoInterpreter { how, pid: self.pid() }.into());
        }
        let pid = self.pid();
        let first = self.objects.sample_classes(pid, modules, true, kernel);
        if let Some(classes) = &mut self.objects.classes {
            classes.first = first;
        }
        let mut functions = Vec::new();
        for interpreter in &self.objects.interpreters {
            match interpreter.objects(modules, self.pid()) {
                Ok(Objects::Heap) => {
                    tracing::debug!(
                        "the objects of {} come from the C allocator: nothing more is to be probed",
                        interpreter.path.display()
                    );
                    self.objects.counted = CountedObjects::Heap { by_us: false };
                }
                Ok(Objects::Functions(found)) if is_wanted => {
                    interpreter.check(modules, &found)?;
                    functions.extend(found);
                }
                Ok(Objects::Functions(_)) => self.objects.counted = CountedObjects::No,
                Err(error) if is_wanted => return Err(error.into()),
                Err(error) => tracing::debug!("{error}"),
            }
        }
        if functions.is_empty() {
            return Ok(());
        }
        self.objects.counted = CountedObjects::Probed;
        self.objects.functions = functions;
        modules.all().iter().try_for_each(|module| self.probe_objects_of(kernel, module))
    }

    /// Sets the probes on objects' functions that a module has.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses one.
    pub(super) fn probe_objects_of(
        &self,
        kernel: &mut Kernel,
        module: &Arc<Module>,
    ) -> Result<(), SessionError> {
        let Some(file) = module.file.as_deref() else { return Ok(()) };
        let probed = ProbedFile { file, path: &module.path, pid: self.pid() };
        let here = self.objects.functions.iter().filter(|function| function.module == module.id);
        let here: Vec<_> = here.map(|function| function.sites.clone()).collect();
        self.attach_all(kernel, probed, &here)
    }
}
