//! Makes unwind tables and puts them into the kernel, on threads of its own: the smallest objects first, so that
//! most are there soon.
//!
//! Some threads make them, another one puts them into the kernel. As that takes a grace period, those go together
//! that are ready together: before the target runs, all that were asked for.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::event::{EventfdFlags, eventfd};
use thiserror::Error;
use tracer_common::unwind::{NODE_BYTES, Node};

use super::SessionError;
use crate::{
    bpf::{BpfError, TableId, TablePlace, TableStore},
    sites,
    symbolize::quietly,
    target::{ModuleId, read_object},
    units::ElfAddr,
    unwind::{self, Table, Tables, UnwindError},
};

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
    /// The number of its root in there.
    pub(super) root: u32,
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
    Kernel(#[from] Arc<BpfError>),
}

/// The threads, and what is on its way to them and back.
#[derive(Debug)]
pub(super) struct Builder {
    queue: Arc<Queue>,
    finished: Receiver<Built>,
    /// Readable while something is finished.
    signal: Arc<OwnedFd>,
}

/// An object's build id and length.
type ObjectId = (Vec<u8>, usize);

#[derive(Debug, Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
    /// Objects whose tables are not on their way into the kernel yet.
    unmade: AtomicUsize,
    /// Whether nobody waits for a part of the tables.
    all_at_once: AtomicBool,
    /// The tables that were made: other objects with the same build id have the same.
    by_build_id: Mutex<HashMap<ObjectId, Option<Arc<Tables>>>>,
}

/// An object whose tables are made, but not in the kernel.
struct Made {
    module: ModuleId,
    tables: Result<Option<Arc<Tables>>, BuildError>,
    took: Duration,
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
        let queue = Arc::new(Queue { all_at_once: true.into(), ..Queue::default() });
        let (made, to_place) = mpsc::channel();
        let (results, finished) = mpsc::channel();
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cpus.min(MOST_THREADS) {
            let (queue, made) = (Arc::clone(&queue), made.clone());
            spawn("unwind-tables", move || make(&queue, &made))?;
        }
        let placer = Placer {
            queue: Arc::clone(&queue),
            store: store.try_clone()?,
            signal: Arc::clone(&signal),
            placed: Vec::new(),
        };
        spawn("unwind-upload", move || placer.work(&to_place, &results))?;
        Ok(Self { queue, finished, signal })
    }

    /// Has the tables of some objects made.
    pub(super) fn add(&self, objects: Vec<(ModuleId, Source)>) {
        let len = |source: &Source| match source {
            Source::File(file) => file.metadata().map_or(0, |metadata| metadata.len()),
            Source::Image(bytes) => bytes.len() as u64,
        };
        self.queue.unmade.fetch_add(objects.len(), Ordering::Relaxed);
        let jobs = objects.into_iter().map(|(module, source)| ((len(&source), module), source));
        self.queue.lock().waiting.extend(jobs);
        self.queue.changed.notify_all();
    }

    /// From now on each object is waited for: tables go into the kernel as they are made.
    pub(super) fn hurry(&self) {
        self.queue.all_at_once.store(false, Ordering::Relaxed);
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

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), SessionError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(SessionError::Builder)
}

/// Makes tables until none are wanted any more.
fn make(queue: &Queue, made: &Sender<Made>) {
    while let Some((module, source)) = queue.next() {
        let start = Instant::now();
        let tables = tables(queue, &source);
        if made.send(Made { module, tables, took: start.elapsed() }).is_err() {
            return;
        }
    }
}

/// Objects with the same build id and length get the very same. (Some are built with an id that says nothing.)
fn tables(queue: &Queue, source: &Source) -> Result<Option<Arc<Tables>>, BuildError> {
    let read;
    let object = match source {
        Source::Image(bytes) => &**bytes,
        Source::File(file) => {
            read = read_object(file)?;
            &read
        }
    };
    let known = || queue.by_build_id.lock().unwrap_or_else(PoisonError::into_inner);
    let build_id = sites::build_id(object).map(|id| (id, object.len()));
    if let Some(tables) = build_id.as_ref().and_then(|id| known().get(id).cloned()) {
        return Ok(tables);
    }
    // The object is the target's: whatever it makes of us, the trace goes on.
    let built = quietly(|| unwind::build(object)).map_err(BuildError::Panic)??.map(Arc::new);
    Ok(match build_id {
        Some(build_id) => known().entry(build_id).or_insert(built).clone(),
        None => built,
    })
}

/// Where an object's tables are, or why they aren't.
type PlaceResult = Result<Arc<[Placed]>, Arc<BpfError>>;

/// Puts tables into the kernel.
struct Placer {
    queue: Arc<Queue>,
    store: TableStore,
    signal: Arc<OwnedFd>,
    /// What became of those that came before.
    placed: Vec<(Arc<Tables>, PlaceResult)>,
}

impl Placer {
    fn work(mut self, made: &Receiver<Made>, results: &Sender<Built>) {
        while let Some(batch) = self.next_batch(made) {
            for built in self.place_all(batch) {
                if results.send(built).is_err() {
                    return;
                }
            }
            // Full only if it was not read 2^64 times: it is readable then all the same.
            let _ = rustix::io::write(&self.signal, &1_u64.to_ne_bytes());
            if let Err(error) = self.store.make_room() {
                tracing::debug!("no room for more unwind tables: {error}");
            }
        }
    }

    /// All that are ready; and if nobody waits for a part of them, those that are still being made.
    fn next_batch(&self, made: &Receiver<Made>) -> Option<Vec<Made>> {
        let mut batch = vec![made.recv().ok()?];
        let unmade = |taken| self.queue.unmade.load(Ordering::Relaxed) > taken;
        loop {
            batch.extend(made.try_iter());
            if !self.queue.all_at_once.load(Ordering::Relaxed) || !unmade(batch.len()) {
                break;
            }
            batch.push(made.recv().ok()?);
        }
        self.queue.unmade.fetch_sub(batch.len(), Ordering::Relaxed);
        Some(batch)
    }

    fn place_all(&mut self, batch: Vec<Made>) -> Vec<Built> {
        let mut new: Vec<Arc<Tables>> = Vec::new();
        for tables in batch.iter().filter_map(|made| made.tables.as_ref().ok()?.as_ref()) {
            let is_same = |known: &Arc<Tables>| Arc::ptr_eq(known, tables);
            if !new.iter().any(is_same) && !self.placed.iter().any(|(known, _)| is_same(known)) {
                new.push(Arc::clone(tables));
            }
        }
        match place(&mut self.store, &new) {
            Ok(placed) => self.placed.extend(new.into_iter().zip(placed.into_iter().map(Ok))),
            // One of them may be too large: the others need not suffer.
            Err(_) => self.placed.extend(new.into_iter().map(|tables| {
                let alone = place(&mut self.store, std::slice::from_ref(&tables));
                (tables, alone.map(|placed| placed.concat().into()).map_err(Arc::new))
            })),
        }
        let built = |Made { module, tables, took }| {
            let tables = tables.and_then(|made| self.object_tables(made));
            Built { module, tables, took }
        };
        batch.into_iter().map(built).collect()
    }

    fn object_tables(&self, made: Option<Arc<Tables>>) -> Result<ObjectTables, BuildError> {
        let Some(made) = made else { return Ok(ObjectTables::default()) };
        let found = self.placed.iter().find(|(known, _)| Arc::ptr_eq(known, &made));
        let placed = found.map_or_else(|| Ok(Arc::default()), |(_, placed)| placed.clone())?;
        Ok(ObjectTables { placed, built: Some(made) })
    }
}

/// Puts the tables of some objects into one map.
fn place(store: &mut TableStore, objects: &[Arc<Tables>]) -> Result<Vec<Arc<[Placed]>>, BpfError> {
    let tables = || objects.iter().flat_map(|object| &object.tables);
    let nodes: Vec<&[Node]> = tables().map(|table| &*table.nodes).collect();
    if nodes.is_empty() {
        return Ok(objects.iter().map(|_| Arc::default()).collect());
    }
    Ok(placed_at(store.add(&nodes)?, objects))
}

/// Where the tables of some objects lie, by where the first does.
fn placed_at(first: TablePlace, objects: &[Arc<Tables>]) -> Vec<Arc<[Placed]>> {
    let TablePlace { map, mut root } = first;
    let mut placed = |table: &Table| {
        let &Table { origin, end, leaves, ref nodes } = table;
        let placed = Placed { table: map, root, leaves, origin, end };
        root += nodes.len() as u32;
        placed
    };
    objects.iter().map(|object| object.tables.iter().map(&mut placed).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_lie_one_after_the_other() {
        let table = |len| Table {
            origin: ElfAddr(0),
            end: ElfAddr(1),
            leaves: 1,
            nodes: vec![Node([0; NODE_BYTES / 8]); len],
        };
        let object = |lens: &[usize]| {
            let tables = lens.iter().map(|len| table(*len)).collect();
            Arc::new(Tables { tables, rows: 0, unsupported: 0 })
        };
        let placed = placed_at(
            TablePlace { map: TableId(3), root: 10 },
            &[object(&[2, 5]), object(&[]), object(&[4])],
        );
        let roots: Vec<Vec<_>> =
            placed.iter().map(|placed| placed.iter().map(|it| it.root).collect()).collect();
        assert_eq!(roots, [vec![10, 12], vec![], vec![17]]);
        assert!(placed.iter().flat_map(|placed| placed.iter()).all(|it| it.table == TableId(3)));
    }
}
