//! Finding the interpreter in a process.

use std::{collections::HashMap, sync::Arc};

use procfs::process::MMPermissions;
use tracer_common::{PythonConfig, Space};

use super::{
    Memory, Unfit, Version, check, debug_offsets,
    image::{Image, may_be_python},
    layout::Layout,
    places::Places,
    thread_data::{ThreadData, is_c_library},
    threads::{self, ThreadState},
    unfit::Build,
};
use crate::{
    target::{ModuleId, Modules, TargetError},
    units::{Addr, Pid},
};

/// What a process has of Python.
#[derive(Debug)]
pub enum Found {
    /// Nothing. Ask again when it has loaded another object.
    None,
    /// An interpreter that is not at work yet, or not any more. It becomes ready when its first thread has been set up, before it
    /// runs any code. Asking again takes a few reads of the target's memory (tens of microseconds) as long as no object was
    /// mapped; there is nothing to wait for but time, so ask every few milliseconds after a start, and otherwise whenever the
    /// mappings are looked at.
    NotYet,
    /// One whose frames can be walked. Holds until the process replaces its image.
    Ready(Box<Interpreter>),
    /// One whose frames can't. That is so for good, but for [`Unfit::Layout`]: a process in the middle of a fork may look so for a moment.
    Unfit(Unfit),
}

/// An interpreter that was seen to be as it is expected to.
#[derive(Clone, Debug)]
pub struct Interpreter {
    pub(super) memory: Arc<Memory>,
    pub(super) layout: Layout,
    pub(super) places: Places,
    path: Arc<str>,
    version: Version,
    config: PythonConfig,
}

impl Interpreter {
    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Path of the object that it is in, as the target sees it.
    pub fn object(&self) -> &str {
        &self.path
    }

    /// What the kernel side needs to know of it, in an address space.
    pub fn config(&self, space: Space) -> PythonConfig {
        PythonConfig { space: space.0, ..self.config }
    }

    /// The function that frees its code objects; `None` where it can't be read.
    pub fn code_deallocator(&self) -> Option<Addr> {
        // `tp_dealloc` of a `PyTypeObject`, in 3.10 to 3.13.
        const DEALLOCATOR: u64 = 48;
        self.memory.u64(self.places.code_type.wrapping_add(DEALLOCATOR)).map(Addr)
    }

    /// How many interpreters there are now that may have an allocator of their own, which those with a GIL of their own have (from
    /// 3.12 on): all but the main one.
    pub fn others(&self) -> usize {
        if self.version.minor < 12 {
            return 0;
        }
        let all = threads::interpreters(&self.memory, &self.layout, self.places.head);
        all.map_or(0, |all| all.len().saturating_sub(1))
    }

    /// The memory of its process.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The `PyThreadState`s that its threads have as their own, as the kernel side finds them, each with the thread's id in its
    /// innermost pid namespace, or 0 where none is kept (3.10). By id and address.
    pub fn threads(&self) -> Vec<(u64, u64)> {
        let all = threads::all(&self.memory, &self.layout, self.places.head).unwrap_or_default();
        let slot = |state: &ThreadState| {
            self.memory.u64(state.thread.wrapping_add(self.config.thread_state))
        };
        let is_own = |state: &ThreadState| state.thread != 0 && slot(state) == Some(state.address);
        let own = all.iter().filter(|state| is_own(state));
        let mut own: Vec<_> = own.map(|state| (state.address, state.id)).collect();
        own.sort_unstable_by_key(|(address, id)| (*id, *address));
        own
    }
}

/// Finds interpreters, and keeps what it has learned of objects. One for each [`Modules`], by whose ids it knows them.
#[derive(Debug, Default)]
pub struct Finder {
    images: HashMap<ModuleId, Option<Result<Image, Unfit>>>,
    c_libraries: HashMap<ModuleId, Option<Result<ThreadData, Unfit>>>,
}

impl Finder {
    /// What the process has of Python now. `modules` are its objects as they were at the last refresh. An interpreter is
    /// looked for in the executable and in what is called `libpython…`; the first look at such an object reads its file.
    ///
    /// The process is not stopped. Blocks for some milliseconds at most after the first time.
    ///
    /// # Errors
    ///
    /// Where the process has ended, or may not be read.
    pub fn find(&mut self, pid: Pid, modules: &Modules) -> Result<Found, TargetError> {
        let images = self.images(pid, modules);
        if images.is_empty() {
            return Ok(Found::None);
        }
        let memory = Arc::new(Memory::of_process(pid)?);
        let mut best = Found::NotYet;
        for image in images {
            let found = image
                .and_then(|image| self.try_one(pid, modules, &memory, &image))
                .map_or_else(Found::Unfit, |it| it.map_or(Found::NotYet, Found::Ready));
            match found {
                Found::Ready(_) => return Ok(found),
                Found::Unfit(_) if !matches!(best, Found::Unfit(_)) => best = found,
                _ => {}
            }
        }
        Ok(best)
    }

    /// The mapped objects that are interpreters, the executable first.
    fn images(&mut self, pid: Pid, modules: &Modules) -> Vec<Result<Image, Unfit>> {
        let executable = modules.executable(pid);
        let mut ids: Vec<_> = modules.mapped();
        ids.sort_by_key(|id| (Some(*id) != executable, *id));
        let all = modules.all();
        ids.into_iter()
            .filter(|id| Some(*id) == executable || may_be_python(&all[id.0 as usize]))
            .filter_map(|id| {
                self.images.entry(id).or_insert_with(|| Image::of(&all[id.0 as usize])).clone()
            })
            .collect()
    }

    /// `Ok(None)` where it is too early.
    fn try_one(
        &mut self,
        pid: Pid,
        modules: &Modules,
        memory: &Arc<Memory>,
        image: &Image,
    ) -> Result<Option<Box<Interpreter>>, Unfit> {
        let Some(places) = image.places_in(modules) else { return Ok(None) };
        let version = image.version;
        let wrong = |what| Unfit::Layout { version, what };
        // Before it says that it is initialized, anything may still be missing; and it says nothing before it is there.
        let is_early = |unfit: Unfit| {
            let initialized = memory.u32(places.initialized).is_some_and(|it| it != 0);
            if initialized && is_writable(pid, places.initialized) { Err(unfit) } else { Ok(None) }
        };
        let layout = match layout(memory, &places, version) {
            Ok(layout) => layout,
            Err(unfit) => return is_early(unfit),
        };
        if let Err(what) = check::types(memory, &places, &layout) {
            return is_early(wrong(what));
        }
        let created = memory.u32(places.key);
        let Some(key) = memory.u32(places.key.wrapping_add(4)).filter(|_| created == Some(1))
        else {
            return is_early(wrong("thread key"));
        };
        let thread_state = match self.thread_data(modules) {
            Ok(data) => data.of_key(key)?,
            Err(unfit) => return is_early(unfit),
        };
        let config = layout.config(thread_state, places.none);
        if let Err(what) = check::threads(pid, memory, &places, &layout, &config) {
            return is_early(wrong(what));
        }
        let memory = Arc::clone(memory);
        let path = Arc::clone(&image.path);
        let found = Interpreter { memory, layout, places, path, version, config };
        Ok(Some(Box::new(found)))
    }

    fn thread_data(&mut self, modules: &Modules) -> Result<ThreadData, Unfit> {
        let mut found = Err(Unfit::NoGlibc);
        for id in modules.mapped() {
            let module = &modules.all()[id.0 as usize];
            if !is_c_library(module) {
                continue;
            }
            let data = self.c_libraries.entry(id).or_insert_with(|| ThreadData::of(module));
            match data {
                Some(Ok(data)) => return Ok(*data),
                Some(Err(unfit)) => found = Err(unfit.clone()),
                None => {}
            }
        }
        found
    }
}

/// Whether a variable may be there: the loader maps an object's data last, and before that another part of the file.
fn is_writable(pid: Pid, address: u64) -> bool {
    let process = procfs::process::Process::new(pid.0.cast_signed());
    process.and_then(|process| process.maps()).is_ok_and(|maps| {
        maps.iter().any(|map| {
            (map.address.0..map.address.1).contains(&address)
                && map.perms.contains(MMPermissions::WRITE)
        })
    })
}

/// By what the interpreter tells of itself, or by its version.
fn layout(memory: &Memory, places: &Places, version: Version) -> Result<Layout, Unfit> {
    let wrong = |what| Unfit::Layout { version, what };
    if let Some(layout) = Layout::of(version) {
        return Ok(layout);
    }
    let told = memory.array(places.runtime).and_then(|bytes| debug_offsets::parse(&bytes));
    let told = told.ok_or(wrong("description of itself"))?;
    if told.free_threaded {
        return Err(Unfit::Build { build: Build::FreeThreaded });
    }
    let is_same = Version::from_hex(told.version) == version
        && places.runtime.wrapping_add(told.head.into()) == places.head;
    if is_same { Ok(told.layout) } else { Err(wrong("description of itself")) }
}
