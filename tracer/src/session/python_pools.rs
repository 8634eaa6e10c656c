//! A hint of the lines whose small objects fill the pools of Python's own allocator: who took the pools that are in use, with
//! `--python-objects classes`. Read with the size classes, at marks; in no figure but its own.

use std::collections::BTreeMap;

use tracer_common::{Epoch, Space, TallyKind};

use super::{SessionError, python_objects::ObjectProbes, recorder::Recorder};
use crate::{
    bpf::{Kernel, ProbedFile},
    ledger::StackKey,
    python_objects::{Interpreter, Objects, UsedPool},
    report::PoolTaker,
    target::Modules,
    units::Pid,
};

/// Who took the pools that were in use at the last reading.
#[derive(Debug, Default)]
pub(super) struct PoolTakers(BTreeMap<(StackKey, Epoch), Taken>);

/// Pools that one stack took in one epoch.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    pools: u64,
    /// Of their blocks in use.
    bytes: u64,
}

impl PoolTakers {
    /// Those of `used`. A pool that was there before the recording began has none.
    ///
    /// # Errors
    ///
    /// Where the kernel's maps can't be read.
    pub(super) fn of(kernel: &Kernel, used: &[UsedPool]) -> Result<Self, SessionError> {
        let space = Space(kernel.state()?.space);
        let taken = kernel.python_pools(space)?;
        let mut takers = Self::default();
        for pool in used {
            let Some(by) = taken.get(&pool.address) else { continue };
            let key = StackKey { space, stack: by.stack };
            let sum = takers.0.entry((key, by.epoch)).or_default();
            sum.pools += 1;
            sum.bytes += pool.used_bytes;
        }
        Ok(takers)
    }
}

impl ObjectProbes {
    /// Has the kernel side hear of each pool that is taken, if objects are counted by size class and the place where that is
    /// done is found; else there is no such hint. To be called once the image's interpreter is ready.
    pub(super) fn hear_of_pools(&mut self, kernel: &mut Kernel, modules: &Modules, pid: Pid) {
        if self.classes.is_none() {
            return;
        }
        for interpreter in &self.interpreters {
            match probe(kernel, modules, pid, interpreter) {
                Ok(true) => self.hears_of_pools = true,
                Ok(false) => {}
                Err(why) => tracing::debug!(
                    "{}: no hint of the lines that take pools: {why}",
                    interpreter.path.display()
                ),
            }
        }
    }
}

/// Whether there are pools.
fn probe(
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
    let module = modules.all().iter().find(|known| known.id == module);
    let (module, file) = module
        .and_then(|module| Some((module, module.file.as_deref()?)))
        .ok_or("the place where that is done is in no file")?;
    let probed = ProbedFile { file, path: &module.path, pid };
    kernel
        .attach_python_pools(probed, site)
        .map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
    tracing::debug!("probing what takes Python's pools in {}", module.path.display());
    Ok(true)
}

/// Who took the pools, by iteration; `None` where nobody heard of it.
pub(super) fn takers(recorder: &Recorder) -> Option<Vec<PoolTaker>> {
    let takers = recorder.prober.objects.pool_takers()?;
    let entry = |(&(key, epoch), taken): (&(StackKey, Epoch), &Taken)| PoolTaker {
        key: recorder.final_key(key),
        taken: recorder.iteration_of.get(epoch),
        pools: taken.pools,
        bytes: taken.bytes,
    };
    Some(takers.0.iter().map(entry).collect())
}

/// Pools of which it is not known who took them.
///
/// # Errors
///
/// Where the map can't be read.
pub(super) fn lost(recorder: &Recorder) -> Result<u64, SessionError> {
    Ok(recorder.kernel.tally()?.get(TallyKind::PoolLost))
}
