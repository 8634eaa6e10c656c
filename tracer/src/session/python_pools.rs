//! A hint of the lines whose small objects fill the pools of Python's own allocator: who took the pools that are in use, with
//! `--python-objects classes`. Read with the size classes, at marks; in no figure but its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use tracer_common::{Epoch, Space, TallyKind, limits::MAX_PYTHON_POOLS};

use super::{SessionError, python_objects::ObjectProbes, recorder::Recorder};
use crate::{
    bpf::{Kernel, ProbedFile},
    ledger::StackKey,
    python_objects::{Interpreter, Objects, UsedPool},
    report::{PoolInputs, PoolTaker},
    target::{ModuleId, Modules},
    units::{FileOffset, Pid},
};

/// A target that takes more pools a second gives most of them back at once, and each costs it a trap
/// (docs/decisions/0004-pools.md).
const MOST_A_SECOND: u64 = 100_000;

/// Pools that are remembered, from which on those that were given back are forgotten.
const CROWDED: usize = MAX_PYTHON_POOLS as usize / 2;

/// Between two looks at how many it takes.
const PAUSE: Duration = Duration::from_millis(200);

/// Who took the pools that were in use at the last reading.
#[derive(Debug, Default)]
pub(super) struct PoolTakers {
    taken: BTreeMap<(StackKey, Epoch), Taken>,
    /// Pools in use that nobody was seen to take. Most were there before.
    without: u64,
}

/// Pools that one stack took in one epoch.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    pools: u64,
    /// Of their blocks in use.
    bytes: u64,
}

/// The probe on what takes pools.
#[derive(Debug, Default)]
pub(super) struct PoolProbe {
    state: State,
    /// Where it is set, for the task whose probes they are: it stays when that task replaces its image.
    places: BTreeSet<(ModuleId, FileOffset)>,
    /// Pools that were taken until then.
    seen: Option<(Instant, u64)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// There are no pools, or they are not asked about.
    #[default]
    None,
    Followed,
    /// Too many are taken.
    GivenUp,
}

impl PoolTakers {
    /// Those of `used`. A pool that was there before the recording began has none.
    ///
    /// # Errors
    ///
    /// Where the kernel's maps can't be read.
    pub(super) fn of(kernel: &mut Kernel, used: &[UsedPool]) -> Result<Self, SessionError> {
        let space = Space(kernel.state()?.space);
        let mut known = kernel.python_pools()?;
        let is_crowded = known.len() > CROWDED;
        let mut takers = Self::default();
        for pool in used {
            let by = known.remove(&pool.address).filter(|by| by.space == space);
            let Some(by) = by else {
                takers.without += 1;
                continue;
            };
            let key = StackKey { space, stack: by.stack };
            let sum = takers.taken.entry((key, by.epoch)).or_default();
            sum.pools += 1;
            sum.bytes += pool.used_bytes;
        }
        if is_crowded {
            // What is left was given back, and its places are needed.
            kernel.forget_python_pools(known.into_keys());
        }
        Ok(takers)
    }
}

impl PoolProbe {
    /// Whether it is set.
    pub(super) fn is_set(&self) -> bool {
        self.state == State::Followed
    }

    /// Takes it out where it costs the target too much.
    ///
    /// # Errors
    ///
    /// Where a map can't be read.
    pub(super) fn watch(&mut self, kernel: &mut Kernel) -> Result<(), SessionError> {
        if !self.is_set() || self.seen.is_some_and(|(at, _)| at.elapsed() < PAUSE) {
            return Ok(());
        }
        let taken = kernel.python_pools_taken()?;
        let now = Instant::now();
        let Some((before, seen)) = self.seen.replace((now, taken)) else { return Ok(()) };
        let most = MOST_A_SECOND as f64 * (now - before).as_secs_f64();
        if (taken - seen) as f64 > most {
            self.state = State::GivenUp;
            tracing::warn!(
                "more than {MOST_A_SECOND} of Python's pools are taken a second: the lines that take them are not followed \
                 any further, as that would slow the process down"
            );
            kernel.detach_python_pools()?;
        }
        Ok(())
    }
}

impl ObjectProbes {
    /// Has the kernel side hear of each pool that is taken, if objects are counted by size class and the place where that is
    /// done is found; else there is no such hint. To be called when the image's interpreter is ready.
    pub(super) fn hear_of_pools(&mut self, kernel: &mut Kernel, modules: &Modules, pid: Pid) {
        if !self.may_hear_of_pools || self.pools.state == State::GivenUp {
            return;
        }
        self.pools.state = State::None;
        for interpreter in &self.interpreters {
            match probe(&mut self.pools.places, kernel, modules, pid, interpreter) {
                // The books that are read are one interpreter's.
                Ok(true) => {
                    self.pools.state = State::Followed;
                    return;
                }
                Ok(false) => {}
                Err(why) => tracing::debug!(
                    "{}: no hint of the lines that take pools: {why}",
                    interpreter.path.display()
                ),
            }
        }
    }

    /// The same for another task, for which no probes are set yet.
    pub(super) fn hear_again_of_pools(&mut self, kernel: &mut Kernel, modules: &Modules, pid: Pid) {
        self.pools.places.clear();
        self.hear_of_pools(kernel, modules, pid);
    }
}

/// Sets the probe; `false` where objects come from the C allocator, and there are no pools.
fn probe(
    places: &mut BTreeSet<(ModuleId, FileOffset)>,
    kernel: &mut Kernel,
    modules: &Modules,
    pid: Pid,
    interpreter: &Interpreter,
) -> Result<bool, String> {
    let objects = interpreter.objects(modules, pid).map_err(|error| error.to_string())?;
    let Objects::Functions(functions) = objects else { return Ok(false) };
    let (module, site) = interpreter
        .pool_site(modules, &functions)
        .ok_or("the place where that is done is not to be found in its code")?;
    let place = (module, site.offset);
    let module = modules.all().iter().find(|known| known.id == module);
    let (module, file) = module
        .and_then(|module| Some((module, module.file.as_deref()?)))
        .ok_or("the place where that is done is in no file")?;
    let probed = (!places.contains(&place)).then_some(ProbedFile { file, path: &module.path, pid });
    kernel
        .follow_python_pools(site, probed)
        .map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
    places.insert(place);
    tracing::debug!("probing what takes Python's pools in {}", module.path.display());
    Ok(true)
}

/// Who took the pools, by iteration; `None` where nobody heard of it.
///
/// # Errors
///
/// Where the kernel's maps can't be read.
pub(super) fn pool_report(recorder: &Recorder) -> Result<Option<PoolInputs>, SessionError> {
    let objects = &recorder.prober.objects;
    let Some(takers) = objects.classes.as_ref().map(|classes| &classes.takers) else {
        return Ok(None);
    };
    let lost = recorder.kernel.tally()?.get(TallyKind::PoolLost).min(takers.without);
    let entry = |(&(key, epoch), taken): (&(StackKey, Epoch), &Taken)| PoolTaker {
        key: recorder.final_key(key),
        iteration: recorder.iteration_of.get(epoch),
        pools: taken.pools,
        bytes: taken.bytes,
    };
    Ok(match objects.pools.state {
        State::None => None,
        State::Followed => {
            let takers = takers.taken.iter().map(entry).collect();
            Some(PoolInputs { followed: true, takers, lost })
        }
        State::GivenUp => Some(PoolInputs { followed: false, takers: Vec::new(), lost: 0 }),
    })
}
