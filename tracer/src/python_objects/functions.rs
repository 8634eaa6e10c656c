//! From an interpreter's tables, as they stand in the process, to functions that can be probed.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::PathBuf,
};

use super::{
    error::PythonObjectsError,
    memory::{Functions, Tables},
};
use crate::{
    sites::{
        self, FunctionSites, ObjectTables, PoolSite, Role, TableError, bypasses, pool_site,
        target_function,
    },
    target::{Location, ModuleId, Modules, read_object},
    units::{Addr, ElfAddr, Pid},
};

/// What the functions of a table are, in its order.
const ROLES: [Role; 4] =
    [Role::PythonMalloc, Role::PythonCalloc, Role::PythonRealloc, Role::PythonFree];

/// An object with an interpreter in it.
#[derive(Clone, Debug)]
pub struct Interpreter {
    /// The object.
    pub module: ModuleId,
    /// Its path, for messages.
    pub path: PathBuf,
    /// Where its tables are.
    pub tables: Result<ObjectTables, TableError>,
}

/// Where the objects of an interpreter come from.
#[derive(Clone, Debug)]
pub enum Objects {
    /// From the C allocator, one by one (`PYTHONMALLOC=malloc`): they are blocks of the heap.
    Heap,
    /// From these functions.
    Functions(Vec<ObjectFunction>),
}

/// A function that makes or frees objects.
#[derive(Clone, Debug)]
pub struct ObjectFunction {
    /// The object that has it.
    pub module: ModuleId,
    /// The function.
    pub sites: FunctionSites,
}

impl Interpreter {
    /// Where its objects come from in a process. To be asked once the process has set itself up.
    ///
    /// # Errors
    ///
    /// Where that can't be told.
    pub fn objects(&self, modules: &Modules, pid: Pid) -> Result<Objects, PythonObjectsError> {
        let tables = self
            .tables
            .clone()
            .map_err(|source| PythonObjectsError::NoTable { path: self.path.clone(), source })?;
        let unreadable =
            |source| PythonObjectsError::Unreadable { path: self.path.clone(), source };
        let process = Tables::of_process(pid).map_err(unreadable)?;
        let read = |place| process.functions(modules, self.module, place);
        let raw = read(tables.raw).map_err(unreadable)?;
        let object = read(tables.object).map_err(unreadable)?;
        let memory = read(tables.memory).map_err(unreadable)?;
        let functions = self.named(modules, object, memory, raw)?;
        Ok(if functions.is_empty() { Objects::Heap } else { Objects::Functions(functions) })
    }

    /// Whether other functions stand before its allocator, which may ask it for more than they were asked for: the hooks of
    /// `PYTHONMALLOC=debug` or `tracemalloc`. Its own functions work on no context.
    pub fn has_hooks(&self, modules: &Modules, pid: Pid) -> bool {
        let context = self.tables.as_ref().ok().and_then(|tables| {
            let process = Tables::of_process(pid).ok()?;
            process.context(modules, self.module, tables.object).ok()
        });
        context.is_some_and(|context| context != 0)
    }

    /// Where its variables lie in a process: stretches of addresses, the first and the one after the last. None where it isn't
    /// mapped.
    pub fn data(&self, modules: &Modules) -> Vec<(u64, u64)> {
        let Ok((_, object)) = self.object(modules, self.module) else { return Vec::new() };
        let segments = sites::data_segments(&object);
        let placed = segments.into_iter().filter_map(|(address, bytes)| {
            let start = modules.address_of(self.module, address)?.0;
            Some((start, start.checked_add(bytes)?))
        });
        placed.collect()
    }

    /// Checks that all of its code calls these functions, and does nothing of their work itself.
    ///
    /// # Errors
    ///
    /// Where some does.
    pub fn check(
        &self,
        modules: &Modules,
        functions: &[ObjectFunction],
    ) -> Result<(), PythonObjectsError> {
        let mut by_module: BTreeMap<ModuleId, Vec<ElfAddr>> = BTreeMap::new();
        for function in functions {
            by_module.entry(function.module).or_default().push(function.sites.address);
        }
        for (module, functions) in by_module {
            let (path, object) = self.object(modules, module)?;
            let places = bypasses(&object, &functions);
            if let Some(first) = places.first() {
                tracing::debug!(
                    "{}: {:#x} is the first place that goes past its allocator",
                    path.display(),
                    first.at
                );
                return Err(PythonObjectsError::Bypassed { path, places: places.len() });
            }
        }
        Ok(())
    }

    /// Where its own allocator takes pools, and in which object; `None` where that isn't found, as behind hooks.
    pub fn pool_site(
        &self,
        modules: &Modules,
        functions: &[ObjectFunction],
    ) -> Option<(ModuleId, PoolSite)> {
        let malloc = functions.iter().find(|function| function.sites.role == Role::PythonMalloc)?;
        let (_, object) = self.object(modules, malloc.module).ok()?;
        Some((malloc.module, pool_site(&object, malloc.sites.address)?))
    }

    /// The functions for objects and other memory, except where they are those for raw memory, which the C allocator
    /// serves.
    fn named(
        &self,
        modules: &Modules,
        object: Functions,
        memory: Functions,
        raw: Functions,
    ) -> Result<Vec<ObjectFunction>, PythonObjectsError> {
        let mut wanted: BTreeMap<Addr, Role> = BTreeMap::new();
        // Single functions may be the same: `free` of a hook that is the same for all tables.
        for table in [object, memory].into_iter().filter(|table| *table != raw) {
            for (function, role) in table.into_iter().zip(ROLES) {
                if wanted.insert(function, role).is_some_and(|was| was != role) {
                    return Err(self.no_function(function));
                }
            }
        }
        let mut objects = BTreeMap::new();
        let mut found = Vec::new();
        for (address, role) in wanted {
            let Some(Location::InModule(module, at)) = modules.find(address) else {
                return Err(self.no_function(address));
            };
            let object = match objects.entry(module) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.object(modules, module)?.1),
            };
            let sites = target_function(object, at, role);
            found.push(ObjectFunction {
                module,
                sites: sites.ok_or_else(|| self.no_function(address))?,
            });
        }
        Ok(found)
    }

    fn object(
        &self,
        modules: &Modules,
        module: ModuleId,
    ) -> Result<(PathBuf, Vec<u8>), PythonObjectsError> {
        let known = modules.all().get(module.0 as usize);
        let bytes = match known.and_then(|module| module.file.as_deref()) {
            Some(file) => read_object(file),
            None => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        };
        let path = known.map_or_else(|| self.path.clone(), |module| module.path.clone());
        match bytes {
            Ok(bytes) => Ok((path, bytes)),
            Err(source) => Err(PythonObjectsError::Unreadable { path, source }),
        }
    }

    fn no_function(&self, address: Addr) -> PythonObjectsError {
        PythonObjectsError::NoFunction { path: self.path.clone(), address }
    }
}
