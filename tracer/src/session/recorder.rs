//! From the kernel's maps to the ledger: stacks are normalised while their process lives, finished epochs
//! are booked as iterations.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tracer_common::{Epoch, UnwindStatus};

use super::{
    SessionError,
    booking::Pending,
    deferred::{DeferredStacks, Which},
    epoch_index::EpochIndex,
    goal::Goal,
    holds::Holds,
    memory::MemoryReader,
    pace::Pace,
    prober::Prober,
    python::Python,
    repeated::Repeated,
    stacks::KnownStack,
    unwinding::Unwinding,
};
use crate::{
    bpf::{Event, FinishedEpoch, Kernel, NewPython, NewStack, UserMark},
    cli::{BenchMode, TraceConfig},
    ledger::{
        Ledger, Plan, StackKey,
        mappings::{Change, Mappings},
    },
    target::{Modules, Process},
};

/// How often to look for the page that appears with the first probe that is hit.
const TRAMPOLINE_PAUSE: Duration = Duration::from_millis(100);

/// Events that are worked off before a look at what can't wait for all of them.
const ROUND: usize = 64;

/// Everything that a run accumulates.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) kernel: Kernel,
    pub(super) process: Process,
    pub(super) repeated: Repeated,
    pub(super) modules: Modules,
    pub(super) prober: Prober,
    pub(super) unwinding: Unwinding,
    pub(super) deferred: DeferredStacks,
    pub(super) ledger: Ledger,
    pub(super) mappings: Mappings,
    /// Changes of mappings in epochs after the one that is booked next.
    pub(super) later: BTreeMap<Epoch, Vec<Change>>,
    /// Every stack seen.
    pub(super) stacks: HashMap<StackKey, KnownStack>,
    /// Python's side of stacks whose native frames have not come yet.
    pythons: HashMap<StackKey, NewPython>,
    /// Which iteration (from 1) each drained epoch belongs to.
    pub(super) iteration_of: EpochIndex,
    /// Names that were given to marks, of epochs that are not booked yet.
    pub(super) labels: BTreeMap<Epoch, String>,
    pub(super) malformed_events: u64,
    /// How often the probes did not fire until they were set again.
    pub(super) interruptions: u64,
    pub(super) pending: Pending,
    pub(super) finished: VecDeque<FinishedEpoch>,
    pub(super) iterations: u32,
    pub(super) goal: Goal,
    /// 0 while not known.
    pub(super) rss_bytes: u64,
    pub(super) memory: MemoryReader,
    pub(super) pace: Pace,
    /// Stacks that ended in code of no known mapping, since the mappings were read.
    pub(super) unplaced: Vec<StackKey>,
    /// Python's side of it all.
    pub(super) python: Python,
    /// When the target stands still.
    pub(super) holds: Holds,
    /// Whether stacks come from `bpf_get_stack`, as bare addresses.
    kernel_stacks: bool,
}

impl Recorder {
    /// Begins to record. The probes are set.
    ///
    /// # Errors
    ///
    /// Where the kernel side does not answer.
    pub(super) fn start(
        mut kernel: Kernel,
        process: Process,
        modules: Modules,
        mut prober: Prober,
        mut unwinding: Unwinding,
        memory: MemoryReader,
        config: &TraceConfig,
    ) -> Result<Self, SessionError> {
        let is_only = config.runs == 1;
        let rss = memory.first.map(|start| start.memory.rss_bytes).or_else(|| process.rss());
        let ledger = Ledger::new(Plan {
            warmup: config.warmup,
            rss_at_start: rss.filter(|_| is_only),
            classes_at_start: prober.objects.first_classes().filter(|_| is_only),
            memory_at_start: memory.first.filter(|_| is_only && config.warmup == 0),
        });
        let pending = Pending::since(now_ns());
        let mut python = Python::new(config);
        python.look(prober.pid(), &modules, &mut kernel, &mut prober.objects)?;
        kernel.start()?;
        unwinding.target_runs();
        let holds = Holds::of(config);
        if holds.at_objects {
            kernel.sync_objects(true)?;
        }
        if holds.at_images {
            kernel.hold_images(true)?;
        }
        Ok(Self {
            holds,
            python,
            repeated: Repeated::new(config.runs > 1),
            kernel_stacks: config.bench == Some(BenchMode::KernelStacks),
            kernel,
            process,
            modules,
            prober,
            unwinding,
            deferred: DeferredStacks::default(),
            ledger,
            mappings: Mappings::default(),
            later: BTreeMap::new(),
            stacks: HashMap::new(),
            pythons: HashMap::new(),
            iteration_of: EpochIndex::default(),
            labels: BTreeMap::new(),
            malformed_events: 0,
            interruptions: 0,
            pending,
            finished: VecDeque::new(),
            iterations: 0,
            goal: Goal::of(config),
            rss_bytes: 0,
            memory,
            pace: Pace::default(),
            unplaced: Vec::new(),
        })
    }

    /// Takes in everything that the kernel side has to tell.
    ///
    /// # Errors
    ///
    /// Where a map can't be read, or a new allocator of the target can't be probed.
    pub(super) fn catch_up(&mut self) -> Result<(), SessionError> {
        self.take_events()?;
        let no_trampoline =
            self.modules.trampoline().is_none() && self.pace.since_last() >= TRAMPOLINE_PAUSE;
        if no_trampoline || self.pace.is_due() {
            self.refresh()?;
        }
        if self.python.is_due() {
            let pid = self.prober.pid();
            let objects = &mut self.prober.objects;
            self.python.look(pid, &self.modules, &mut self.kernel, objects)?;
        }
        self.prober.objects.pools.watch(&mut self.kernel)?;
        self.unwinding.take_finished(&mut self.kernel)?;
        if !self.unwinding.is_pending() {
            self.unwind_raw_stacks(Which::Told);
        }
        if self.kernel.is_full()? && self.is_recording() {
            self.kernel.mark(UserMark::Full)?;
        }
        let finished = self.kernel.drain()?;
        if self.kernel.was_held()? {
            tracing::debug!("the target has waited until we caught up");
            self.process.resume();
        }
        if !finished.is_empty() {
            // Programs that were at work when we read the events have sent theirs by now: with these,
            // those of the finished epochs are all here.
            self.take_events()?;
            if self.deferred.any_waiting() {
                self.unwinding.finish(&mut self.kernel)?;
                self.unwind_raw_stacks(Which::Told);
            }
        }
        self.finished.extend(finished);
        // Once the target has ended there is nothing to read: what it had last is kept.
        self.rss_bytes = self.process.rss().unwrap_or(self.rss_bytes);
        Ok(())
    }

    /// Iterations that count: those after the warm-up that a mark ended.
    pub(super) fn measured(&self) -> u64 {
        self.ledger.measured()
    }

    /// Whether all iterations that were asked for are there.
    pub(super) fn has_enough(&self) -> bool {
        self.goal.is_reached(&self.ledger)
    }

    /// Whether events are still recorded.
    pub(super) fn is_recording(&self) -> bool {
        self.kernel.is_recording()
    }

    /// Stops recording and books the rest. With a mark, the run's last iteration is a whole one.
    ///
    /// # Errors
    ///
    /// Where the kernel side does not answer.
    pub(super) fn stop(&mut self, mark: UserMark) -> Result<(), SessionError> {
        self.stop_labelled(mark, None)
    }

    /// Makes a mark; whether it ended an iteration, or was merged, because too many came before. Where it ends the last
    /// iteration that was asked for, the recording stops with it: nothing is to be recorded after that.
    ///
    /// # Errors
    ///
    /// Where the kernel side does not answer.
    pub(super) fn mark(
        &mut self,
        mark: UserMark,
        label: Option<String>,
    ) -> Result<bool, SessionError> {
        if self.goal.is_next_last(&self.ledger) {
            return self.stop_labelled(mark, label).map(|()| true);
        }
        let ended = self.kernel.mark(mark)?;
        self.labels.extend(ended.zip(label));
        Ok(ended.is_some())
    }

    fn stop_labelled(&mut self, mark: UserMark, label: Option<String>) -> Result<(), SessionError> {
        let ended = self.kernel.stop(mark)?;
        self.labels.extend(ended.zip(label));
        self.catch_up()?;
        // What did not fit into the first look is in the ring buffer; nothing follows it.
        if self.kernel.has_events() {
            self.catch_up()?;
        }
        self.unwind_raw_stacks(Which::All);
        Ok(())
    }

    /// Works off the events that are there. What comes meanwhile is for the next time, unless the target waits for us.
    fn take_events(&mut self) -> Result<(), SessionError> {
        let mut left = self.kernel.receive();
        loop {
            let mut objects_changed = false;
            let mut round = left.min(ROUND);
            while round > 0
                && let Some(event) = self.kernel.next_event()
            {
                round -= 1;
                match event {
                    // However often they did meanwhile, one look is enough.
                    Event::Objects => objects_changed = true,
                    event => self.take(event)?,
                }
            }
            while let Some(stack) = self.kernel.next_raw_stack() {
                self.take(stack)?;
            }
            if objects_changed {
                self.objects_changed()?;
            }
            if round > 0 || left <= ROUND {
                return Ok(());
            }
            left -= ROUND;
        }
    }

    fn take(&mut self, event: Event) -> Result<(), SessionError> {
        match event {
            Event::Stack(stack) => self.keep_stack(&stack),
            Event::Python(python) => self.keep_python(python),
            Event::PythonCode(code) => self.python.keep(*code),
            Event::RawStack(stack) => self.keep_raw_stack(stack),
            Event::Exec => self.replaced()?,
            Event::Objects => self.objects_changed()?,
            Event::MainExit => self.main_exit()?,
            Event::ThreadExec => {
                let main = self.process.pid();
                self.follow_thread(main)?;
            }
            Event::PythonStart => self.python_starts()?,
            Event::Mark => {}
            Event::Mapping(event) => self.keep_mapping(&event),
            Event::Malformed => self.malformed_events += 1,
        }
        Ok(())
    }

    /// The dynamic linker has loaded objects, or unloaded some.
    fn objects_changed(&mut self) -> Result<(), SessionError> {
        // Asked first: what comes to be held later has an event of its own.
        let is_loaded = self.kernel.state()?.new_image == 0;
        let refreshed = self.refresh();
        if self.holds.objects_changed(is_loaded) { self.go_on(refreshed) } else { refreshed }
    }

    /// Lets the target go on. It stands still: constructors are to be unwound, too.
    pub(super) fn go_on(
        &mut self,
        refreshed: Result<(), SessionError>,
    ) -> Result<(), SessionError> {
        let finished = refreshed.and_then(|()| self.unwinding.finish(&mut self.kernel));
        self.process.resume();
        finished
    }

    /// What Python's side of a stack is, whose native frames have not come yet.
    fn keep_python(&mut self, python: NewPython) {
        self.python.learn(python.space, &python.frames);
        let key = StackKey { space: python.space, stack: python.stack };
        self.pythons.insert(key, python);
    }

    /// What Python's side of a stack is. It was told before; two threads that tell of the same stack may take turns.
    pub(super) fn python_of(&self, key: StackKey) -> Option<&NewPython> {
        let told = || self.stacks.get(&key)?.python.as_ref().map(|python| &python.found);
        self.pythons.get(&key).or_else(told)
    }

    fn keep_stack(&mut self, stack: &NewStack) {
        let key = StackKey { space: stack.space, stack: stack.stack };
        if stack.status == UnwindStatus::UnknownCode {
            self.pace.want();
            self.unplaced.push(key);
        }
        let python = self.python_of(key).cloned();
        self.pythons.remove(&key);
        let named = |frame| self.python.id(stack.space, frame);
        let mut known = KnownStack::with_python(&stack.frames, stack.status, python, named);
        if self.kernel_stacks {
            known.judge(&self.modules, |at| self.unwinding.rule_at(&self.modules, at));
        }
        self.keep_found(key, known);
    }

    /// Finds the objects of the code that stacks ended in, now that they are known.
    pub(super) fn name_unplaced(&mut self) {
        let space = self.unwinding.space();
        for key in std::mem::take(&mut self.unplaced) {
            if let Some(stack) = self.stacks.get_mut(&key).filter(|_| key.space == space) {
                stack.place_last(&self.modules);
            }
        }
    }
}

impl Drop for Recorder {
    /// However the run ends: the target is not left stopped.
    fn drop(&mut self) {
        if self.holds.any() {
            // Without these a stop could follow the signal; where they fail, the probes are about to go.
            let _ = self.kernel.sync_objects(false);
            let _ = self.kernel.hold_images(false);
            self.process.resume();
        }
    }
}

/// The clock that the kernel side uses.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
