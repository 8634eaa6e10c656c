//! Loading the object, and switching the recording on and off.

use std::{fmt, os::fd::OwnedFd, sync::Arc};

use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel, include_bytes_aligned,
    programs::{RawTracePoint, RawTracePointRunOptions, TestRun as _, UProbe},
};
use tracer_common::{Control, Epoch, KernelState, PythonConfig, Tally, names};

use super::{
    BpfError, KernelSettings, StackWalk, TableStore, UserMark, attach::Probe, btf, chain::Chain,
    code::CodeState, inbox::Inbox, maps::Maps, settle::Settler,
};
use crate::{release::KernelRelease, units::Addr};

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-ebpf"));

/// Calls that were entered and have not returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// How many.
    pub calls: u64,
    /// Allocations that were taken for parts of a call which can't have had so many.
    pub nested_allocs: u64,
    /// Frees that were.
    pub nested_frees: u64,
}

/// The loaded kernel side. Dropping it takes all probes out of the target.
///
/// That takes about 75 ms a probe, 2 s in all, and more under load: the kernel waits for two grace periods
/// each time, with a lock held, so closing them from many threads is no faster (measured on 6.18). Print
/// first, then drop.
pub struct Kernel {
    pub(super) ebpf: Ebpf,
    pub(super) maps: Maps,
    /// What came by the ring buffer.
    pub(super) inbox: Inbox,
    pub(super) chain: Chain,
    pub(super) control: Control,
    /// The address space that the last drained epoch ended in.
    pub(super) drained_space: u32,
    /// How it walks stacks.
    pub(super) walk: StackWalk,
    /// What it was told of the target's interpreter.
    pub(super) python: PythonConfig,
    /// What it was told of the target's code.
    pub(super) code: CodeState,
    /// Capacity of the live set.
    pub(super) max_live: u32,
    /// Waits for the programs.
    pub(super) settler: Arc<Settler>,
    /// All that are set.
    pub(super) probes: Vec<Probe>,
    /// Probes behind semaphores.
    pub(super) guarded: Vec<OwnedFd>,
}

const MARK_USER: &str = "mark_user";
const ENLIST: &str = "enlist";
const TRACEPOINTS: [(&str, &str); 2] =
    [("process_exec", "sched_process_exec"), ("thread_exit", "sched_process_exit")];

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("control", &self.control).finish_non_exhaustive()
    }
}

impl Kernel {
    /// Loads the maps, and the programs that every run needs; those on functions follow when they are first
    /// attached, for the verifier takes its time over them. Nothing is recorded yet.
    ///
    /// # Errors
    ///
    /// Without privilege, on an old kernel, or where the verifier refuses a program.
    pub fn load(settings: KernelSettings) -> Result<Self, BpfError> {
        check_kernel()?;
        let log_level: u8 = if settings.log { 4 } else { 0 };
        let (tgid, (device, inode)) = (settings.target.tgid(), settings.target.namespace());
        let kernel_stacks = u32::from(settings.walk == StackWalk::Kernel);
        let thread_pointer = btf::thread_pointer().unwrap_or(0);
        let mut loader = EbpfLoader::new();
        loader
            // Only used where the verifier has refused a program, to be told why: without a log it is several times faster.
            .verifier_log_level(VerifierLogLevel::DEBUG)
            .override_global(names::TARGET_TGID, &tgid, true)
            .override_global(names::TARGET_NS_DEVICE, &device, true)
            .override_global(names::TARGET_NS_INODE, &inode, true)
            .override_global(names::MIN_SIZE, &settings.min_size, true)
            .override_global(names::MAX_SIZE, &settings.max_size, true)
            .override_global(names::MARK_EVERY, &settings.mark_every, true)
            .override_global(names::KERNEL_STACKS, &kernel_stacks, true)
            .override_global(names::THREAD_POINTER, &thread_pointer, true)
            .override_global(aya_log::LEVEL, &log_level, false)
            .map_max_entries(names::LIVE, settings.max_live)
            .map_max_entries(names::KNOWN, settings.known_stacks)
            .map_max_entries(names::ROWS, settings.max_stacks.saturating_mul(2));
        let mut ebpf = loader.load(OBJECT).map_err(BpfError::load)?;
        for name in [MARK_USER, ENLIST].into_iter().chain(TRACEPOINTS.map(|(name, _)| name)) {
            raw_tracepoint(&mut ebpf, name)?.load().map_err(BpfError::program(name, "loading"))?;
        }
        let maps = Maps::take(&mut ebpf)?;
        let chain = Chain::link(&mut ebpf, settings.walk)?;
        let settler = Arc::new(maps.tables.settler()?);
        Ok(Self {
            ebpf,
            maps,
            inbox: Inbox::default(),
            chain,
            settler,
            control: Control::default(),
            walk: settings.walk,
            python: PythonConfig::default(),
            drained_space: 0,
            code: CodeState::default(),
            max_live: settings.max_live,
            probes: Vec::new(),
            guarded: Vec::new(),
        })
    }

    /// Starts to listen to the ends of threads and to `execve`. Probes may follow.
    ///
    /// # Errors
    ///
    /// Where the kernel lacks the tracepoints.
    pub fn watch_processes(&mut self) -> Result<(), BpfError> {
        for (name, tracepoint) in TRACEPOINTS {
            raw_tracepoint(&mut self.ebpf, name)?
                .attach(tracepoint)
                .map_err(BpfError::program(name, "attaching"))?;
        }
        Ok(())
    }

    /// Begins to record. The end of the calling process's main thread ends the recording, too.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses to run the program, or the map can't be written.
    pub fn start(&mut self) -> Result<(), BpfError> {
        raw_tracepoint(&mut self.ebpf, ENLIST)?
            .test_run(RawTracePointRunOptions::new())
            .map_err(BpfError::program(ENLIST, "running"))?;
        self.control.active = 1;
        self.write_control()
    }

    /// Stops recording, waits until no program is at work any more, and ends the last epoch: from here on the
    /// maps don't change. The probes stay where they are and do nothing. Gives the epoch that the mark ended.
    ///
    /// # Errors
    ///
    /// Where the map can't be written.
    pub fn stop(&mut self, mark: UserMark) -> Result<Option<Epoch>, BpfError> {
        self.control.active = 0;
        self.write_control()?;
        self.settler.settle();
        self.mark(mark)
    }

    /// Ends the running epoch, in the kernel, as every mark does. Gives that epoch; `None` where too many are not
    /// drained yet, and the mark was merged into the running one.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses to run the program.
    pub fn mark(&mut self, mark: UserMark) -> Result<Option<Epoch>, BpfError> {
        let mut options = RawTracePointRunOptions::new();
        options.args[0] = mark.trigger() as u64;
        raw_tracepoint(&mut self.ebpf, MARK_USER)?
            .test_run(options)
            .map_err(BpfError::program(MARK_USER, "running"))?;
        Ok(self.state()?.user_mark.checked_sub(1).map(Epoch))
    }

    /// Has blocks that are allocated from now on recorded, or left out. Returns when no program is at work any more
    /// that knew it otherwise.
    ///
    /// # Errors
    ///
    /// Where the map can't be written.
    pub fn pause(&mut self, pause: bool) -> Result<(), BpfError> {
        if self.control.paused == u32::from(pause) {
            return Ok(());
        }
        self.control.paused = pause.into();
        self.write_control()?;
        self.settler.settle();
        Ok(())
    }

    /// Live bytes, epoch and marks, as they are now.
    ///
    /// # Errors
    ///
    /// Where the map can't be read.
    pub fn state(&self) -> Result<KernelState, BpfError> {
        self.maps.state.get(&0, 0).map_err(BpfError::map(names::STATE))
    }

    /// The counters of all CPUs, summed.
    ///
    /// # Errors
    ///
    /// Where the map can't be read.
    pub fn tally(&self) -> Result<Tally, BpfError> {
        let mut sum = Tally::default();
        for tally in self.maps.tally.get(&0, 0).map_err(BpfError::map(names::TALLY))?.iter() {
            for (total, count) in sum.counts.iter_mut().zip(tally.counts) {
                *total += count;
            }
        }
        Ok(sum)
    }

    /// Calls that were entered and have not returned.
    ///
    /// # Errors
    ///
    /// Where the map can't be read.
    pub fn calls_in_flight(&self) -> Result<InFlight, BpfError> {
        // A call may well be in the middle of a few others of its own; of more it can't be.
        const PLAUSIBLE: u32 = 16;
        let stale = |nested: u32| if nested > PLAUSIBLE { nested.into() } else { 0 };
        let mut sum = InFlight::default();
        for entry in &self.maps.threads {
            let (_, thread) = entry.map_err(BpfError::map(names::THREADS))?;
            if thread.sp != 0 {
                sum.calls += 1;
                sum.nested_allocs += stale(thread.nested_allocs);
                sum.nested_frees += stale(thread.nested_frees);
            }
        }
        Ok(sum)
    }

    /// Says where return-probed functions of the target return to.
    ///
    /// # Errors
    ///
    /// Where the map can't be written.
    pub fn set_trampoline(&mut self, address: Addr) -> Result<(), BpfError> {
        if self.control.trampoline == address.0 {
            return Ok(());
        }
        self.control.trampoline = address.0;
        self.write_control()
    }

    /// Says where the target's dynamic linker keeps what it is at, and up to which version that tells that there is one
    /// namespace.
    ///
    /// # Errors
    ///
    /// Where the map can't be written.
    pub fn set_linker(&mut self, address: Addr, lone_version: u32) -> Result<(), BpfError> {
        if self.control.linker == address.0 {
            return Ok(());
        }
        (self.control.linker, self.control.lone_version) = (address.0, lone_version);
        self.write_control()
    }

    /// Where unwind tables go.
    pub fn tables(&self) -> &TableStore {
        &self.maps.tables
    }

    /// Whether events are recorded now.
    pub fn is_recording(&self) -> bool {
        self.control.active != 0
    }

    pub(super) fn write_control(&mut self) -> Result<(), BpfError> {
        self.maps.control.set(0, self.control, 0).map_err(BpfError::map(names::CONTROL))
    }
}

/// A program to be attached; loaded if it isn't yet.
pub(super) fn uprobe<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut UProbe, BpfError> {
    let program = ebpf.program_mut(name).ok_or(BpfError::Missing { name })?;
    let probe: &mut UProbe = program.try_into().map_err(BpfError::program(name, "converting"))?;
    if probe.fd().is_err() {
        probe.load().map_err(BpfError::program(name, "loading"))?;
        say_verified(name, probe);
    }
    Ok(probe)
}

fn raw_tracepoint<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut RawTracePoint, BpfError> {
    let program = ebpf.program_mut(name).ok_or(BpfError::Missing { name })?;
    program.try_into().map_err(BpfError::program(name, "converting"))
}

/// What the verifier had to go through for a program, which is what differs from kernel to kernel. Kernels before
/// 5.16 don't say.
fn say_verified(name: &str, probe: &UProbe) {
    if tracing::enabled!(tracing::Level::TRACE)
        && let Some(count) = probe.info().ok().and_then(|info| info.verified_instruction_count())
    {
        tracing::trace!("{name}: {count} instructions verified");
    }
}

/// A version is only asked to give a better message than the verifier's.
fn check_kernel() -> Result<(), BpfError> {
    let release = KernelRelease::running();
    if release.is_too_old() {
        Err(BpfError::KernelTooOld { release: release.to_string() })
    } else {
        Ok(())
    }
}
