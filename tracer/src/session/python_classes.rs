//! Reading Python's objects by size class at marks: out of the allocator's books in the target's memory, which takes
//! us some 5 ms for 100 MiB of pools, and the target no time.

use std::time::{Duration, Instant};

use super::python_pools::PoolTakers;
use crate::{
    bpf::Kernel,
    ledger::ClassSample,
    python_objects::{Interpreter, NotFound, Objects, Pools, ProcessView, Reading},
    report::CountedObjects,
    target::Modules,
    units::Pid,
};

/// Reading may take this part of the time.
const SHARE: u32 = 50;

/// Where the books are, and what came of reading them.
#[derive(Debug, Default)]
pub(super) struct ClassReader {
    found: Option<(ProcessView, Pools)>,
    last: Option<(Instant, Duration)>,
    /// What the target had when the trace began.
    pub(super) first: Option<ClassSample>,
    /// Who took the pools that were in use at the last reading, if that is heard of.
    pub(super) takers: PoolTakers,
    /// What the report says: of the last reading that something was learned from.
    pub(super) counted: Option<CountedObjects>,
}

impl ClassReader {
    /// Before anything was read. A command has no objects at its start.
    pub(super) fn new(is_command: bool) -> Self {
        Self { first: is_command.then(ClassSample::default), ..Self::default() }
    }

    /// Reads them, unless that has taken too much of the time; `needed`: whether or not. `None` where they aren't read or can't
    /// be. With a `kernel`, what it heard of pools that were taken, too.
    pub(super) fn sample(
        &mut self,
        pid: Pid,
        modules: &Modules,
        interpreters: &[Interpreter],
        needed: bool,
        kernel: Option<&mut Kernel>,
    ) -> Option<ClassSample> {
        let due = self.last.is_none_or(|(at, took)| at.elapsed() >= took * SHARE);
        if !due && !needed {
            return None;
        }
        let mut start = Instant::now();
        let mut reading = self.read();
        if reading.is_none() {
            self.look(pid, modules, interpreters);
            if self.found.is_some() {
                // The search is not made again.
                tracing::debug!("Python's pools found in {:.1} ms", milliseconds(start));
                start = Instant::now();
                reading = self.read();
            }
        }
        if let Some((kernel, reading)) = kernel.zip(reading.as_ref()) {
            self.takers = PoolTakers::of(kernel, &reading.pools).unwrap_or_else(|error| {
                tracing::warn!("who took Python's pools is not known: {error}");
                PoolTakers::default()
            });
        }
        self.last = Some((Instant::now(), start.elapsed()));
        let sample = reading.map(|reading| reading.sample);
        if let Some(sample) = sample {
            let blocks: u64 = sample.blocks.iter().sum();
            tracing::debug!(
                "Python's objects read by size class in {:.1} ms: {blocks} blocks",
                milliseconds(start)
            );
        }
        sample
    }

    fn read(&mut self) -> Option<Reading> {
        let (view, pools) = self.found.as_mut()?;
        let reading = pools.read(view);
        if reading.is_none() {
            self.found = None;
        }
        reading
    }

    /// Looks for the books in the image that the target has now.
    fn look(&mut self, pid: Pid, modules: &Modules, interpreters: &[Interpreter]) {
        for interpreter in interpreters {
            let data = interpreter.data(modules);
            let Ok(view) = ProcessView::of(pid) else { return };
            if data.is_empty() {
                continue;
            }
            if matches!(interpreter.objects(modules, pid), Ok(Objects::Heap)) {
                self.counted = Some(CountedObjects::Heap { by_us: false });
                continue;
            }
            match Pools::find(&view, &data) {
                Ok(pools) => {
                    let hooks = interpreter.has_hooks(modules, pid);
                    self.counted = Some(CountedObjects::Classes { hooks, others: 0 });
                    self.found = Some((view, pools));
                    return;
                }
                Err(why) => self.miss(interpreter, why),
            }
        }
    }

    fn miss(&mut self, interpreter: &Interpreter, why: NotFound) {
        let why =
            format!("{}: {why}; --python-objects exact counts each", interpreter.path.display());
        // Of a target that has ended, nothing is found, and what was is to be told.
        if !matches!(self.counted, Some(CountedObjects::Classes { .. })) {
            self.counted = Some(CountedObjects::Hindered(why));
        }
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
