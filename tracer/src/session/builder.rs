//! Makes unwind tables, on threads of its own: the smallest objects first, so that most are there soon.

use std::{
    collections::BTreeMap,
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

use super::SessionError;
use crate::{
    sites,
    symbolize::quietly,
    target::{ModuleId, read_object},
    unwind::{self, Tables},
};

/// More threads than this only take the CPUs away from the target.
const MOST_THREADS: usize = 4;

/// The bytes of an object, or where to get them.
#[derive(Debug)]
pub(super) enum Source {
    File(Arc<File>),
    Image(Arc<[u8]>),
}

/// What became of an object.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) module: ModuleId,
    /// Objects with the same one have the same tables.
    pub(super) build_id: Option<Vec<u8>>,
    /// `None` where it has no call frame information; else, why there are none.
    pub(super) tables: Result<Option<Tables>, String>,
    pub(super) took: Duration,
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
    pub(super) fn start() -> Result<Self, SessionError> {
        let signal = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let signal = Arc::new(signal.map_err(|error| SessionError::Builder(error.into()))?);
        let queue = Arc::new(Queue::default());
        let (results, finished) = mpsc::channel();
        for _ in 0..thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS) {
            let (queue, results) = (Arc::clone(&queue), results.clone());
            let signal = Arc::clone(&signal);
            thread::Builder::new()
                .name("unwind-tables".to_owned())
                .spawn(move || work(&queue, &results, &signal))
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

fn work(queue: &Queue, results: &Sender<Built>, signal: &OwnedFd) {
    while let Some((module, source)) = queue.next() {
        if results.send(build(module, &source)).is_err() {
            return;
        }
        // Full only if it was not read 2^64 times: it is readable then all the same.
        let _ = rustix::io::write(signal, &1_u64.to_ne_bytes());
    }
}

fn build(module: ModuleId, source: &Source) -> Built {
    let start = Instant::now();
    let read;
    let bytes: Result<&[u8], String> = match source {
        Source::Image(bytes) => Ok(bytes),
        Source::File(file) => {
            read = read_object(file);
            read.as_deref().map_err(ToString::to_string)
        }
    };
    let build_id = bytes.as_ref().ok().and_then(|bytes| sites::build_id(bytes));
    // The object is the target's: whatever it makes of us, the trace goes on.
    let tables = bytes.and_then(|bytes| {
        quietly(|| unwind::build(bytes)).and_then(|built| built.map_err(|error| error.to_string()))
    });
    Built { module, build_id, tables, took: start.elapsed() }
}
