//! Makes unwind tables and puts them into the kernel, on threads of its own: the smallest objects first, so that most are there soon.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::event::{EventfdFlags, eventfd};
use thiserror::Error;
use tracer_common::unwind::NODE_BYTES;

use super::SessionError;
use crate::{
    bpf::{BpfError, TableId, TableStore},
    sites,
    symbolize::quietly,
    target::{ModuleId, read_object},
    units::ElfAddr,
    unwind::{self, Table, Tables, UnwindError},
};

/// Half of the time a thread waits for the kernel.
const THREADS_PER_CPU: usize = 2;
/// More than this only take the CPUs away from the target.
const MOST_THREADS: usize = 8;

/// The bytes of an object, or where to get them.
#[derive(Debug)]
pub(super) enum Source {
    File(Arc<File>),
    Image(Arc<[u8]>),
}

/// A table that is in the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) table: TableId,
    pub(super) leaves: u32,
    /// By the object's own headers.
    pub(super) origin: ElfAddr,
    pub(super) end: ElfAddr,
}

/// An object's tables, by address; none where it can't be unwound by a table.
#[derive(Clone, Debug, Default)]
pub(super) struct ObjectTables {
    pub(super) placed: Arc<[Placed]>,
    /// The same, for what we unwind ourselves.
    pub(super) built: Option<Arc<Tables>>,
}

impl ObjectTables {
    /// What they take, here and in the kernel each.
    pub(super) fn bytes(&self) -> u64 {
        let tables = self.built.iter().flat_map(|built| &built.tables);
        tables.map(|table| (table.nodes.len() * NODE_BYTES) as u64).sum()
    }
}

/// What became of an object.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) module: ModuleId,
    /// Or why there are none.
    pub(super) tables: Result<ObjectTables, BuildError>,
    pub(super) took: Duration,
}

/// Why an object has no tables.
#[derive(Debug, Error)]
pub(super) enum BuildError {
    #[error("it can't be read: {0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Unwind(#[from] UnwindError),
    #[error("it is malformed: {0}")]
    Panic(String),
    #[error(transparent)]
    Kernel(#[from] BpfError),
}

/// The threads, and what is on its way to them and back.
#[derive(Debug)]
pub(super) struct Builder {
    queue: Arc<Queue>,
    finished: Receiver<Built>,
    /// Readable while something is finished.
    signal: Arc<OwnedFd>,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
    /// The tables of finished objects: others with the same build id have the same.
    by_build_id: Mutex<HashMap<Vec<u8>, ObjectTables>>,
}

#[derive(Debug, Default)]
struct Jobs {
    /// By size.
    waiting: BTreeMap<(u64, ModuleId), Source>,
    closed: bool,
}

impl Builder {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// Where the system refuses them.
    pub(super) fn start(store: &TableStore) -> Result<Self, SessionError> {
        let signal = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let signal = Arc::new(signal.map_err(|error| SessionError::Builder(error.into()))?);
        let queue = Arc::new(Queue::default());
        let (results, finished) = mpsc::channel();
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..(THREADS_PER_CPU * cpus).min(MOST_THREADS) {
            let (queue, results) = (Arc::clone(&queue), results.clone());
            let store = store.try_clone()?;
            let signal = Arc::clone(&signal);
            thread::Builder::new()
                .name("unwind-tables".to_owned())
                .spawn(move || work(&queue, &store, &results, &signal))
                .map_err(SessionError::Builder)?;
        }
        Ok(Self { queue, finished, signal })
    }

    /// Has an object's tables made.
    pub(super) fn add(&self, module: ModuleId, source: Source) {
        let len = match &source {
            Source::File(file) => file.metadata().map_or(0, |metadata| metadata.len()),
            Source::Image(bytes) => bytes.len() as u64,
        };
        self.queue.lock().waiting.insert((len, module), source);
        self.queue.changed.notify_one();
    }

    /// The next finished object, if there is one.
    pub(super) fn try_next(&self) -> Option<Built> {
        self.finished.try_recv().ok()
    }

    /// Waits for the next one; `None` if none will come.
    pub(super) fn next(&self) -> Option<Built> {
        self.finished.recv().ok()
    }

    /// Takes the signal back. To be done before the finished ones are taken.
    pub(super) fn clear_signal(&self) {
        // It may not have been given: then there is nothing to read.
        let _ = rustix::io::read(&*self.signal, &mut [0; size_of::<u64>()]);
    }

    /// A descriptor that is readable when something is finished.
    ///
    /// # Errors
    ///
    /// Where the process has no descriptors left.
    pub(super) fn signal(&self) -> io::Result<OwnedFd> {
        self.signal.as_fd().try_clone_to_owned()
    }
}

impl Drop for Builder {
    /// The threads end by themselves; nobody waits for a table that is not needed any more.
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        // Nothing panics while it holds the lock.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the smallest object; `None` when no more are wanted.
    fn next(&self) -> Option<(ModuleId, Source)> {
        let mut jobs = self.lock();
        loop {
            if jobs.closed {
                return None;
            }
            if let Some(((_, module), source)) = jobs.waiting.pop_first() {
                return Some((module, source));
            }
            jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn work(queue: &Queue, store: &TableStore, results: &Sender<Built>, signal: &OwnedFd) {
    while let Some((module, source)) = queue.next() {
        let start = Instant::now();
        let tables = tables(queue, store, &source);
        if results.send(Built { module, tables, took: start.elapsed() }).is_err() {
            return;
        }
        // Full only if it was not read 2^64 times: it is readable then all the same.
        let _ = rustix::io::write(signal, &1_u64.to_ne_bytes());
    }
}

fn tables(queue: &Queue, store: &TableStore, source: &Source) -> Result<ObjectTables, BuildError> {
    let read;
    let object = match source {
        Source::Image(bytes) => &**bytes,
        Source::File(file) => {
            read = read_object(file)?;
            &read
        }
    };
    let known = || queue.by_build_id.lock().unwrap_or_else(PoisonError::into_inner);
    let build_id = sites::build_id(object);
    if let Some(tables) = build_id.as_ref().and_then(|id| known().get(id).cloned()) {
        return Ok(tables);
    }
    // The object is the target's: whatever it makes of us, the trace goes on.
    let built = quietly(|| unwind::build(object)).map_err(BuildError::Panic)??;
    let tables = match built {
        Some(built) => ObjectTables { placed: place(store, &built)?, built: Some(built.into()) },
        None => ObjectTables::default(),
    };
    if let Some(build_id) = build_id {
        known().insert(build_id, tables.clone());
    }
    Ok(tables)
}

fn place(store: &TableStore, built: &Tables) -> Result<Arc<[Placed]>, BpfError> {
    let placed = built.tables.iter().map(|table| {
        let &Table { origin, end, leaves, ref nodes } = table;
        Ok(Placed { table: store.add(nodes)?, leaves, origin, end })
    });
    placed.collect()
}
