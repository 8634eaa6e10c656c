//! Waiting until every program that was running has ended.

use std::{num::NonZero, os::fd::AsFd as _, thread, time::Duration};

use aya::maps::{Array, ArrayOfMaps, Map, MapData};
use rustix::thread::{MembarrierCommand, membarrier};
use tracer_common::{limits::MAX_TABLES, names, unwind::Node};

use super::BpfError;

/// A thousand times a program's running time.
const LONG: Duration = Duration::from_millis(20);

/// Waits for a grace period of RCU: uprobe programs run inside one section of it from start to end.
///
/// `membarrier(GLOBAL)` is that wait, but refused by kernels with isolated (`nohz_full`) processors, and empty where there
/// is one processor alone, on which a program may still be in the middle of its work, preempted. There a map in a map is
/// replaced, after which the kernel waits as well (`maybe_wait_bpf_programs` in `kernel/bpf/syscall.c`).
pub(super) struct Settler {
    outer: MapData,
    inner: Array<MapData, Node>,
}

impl Settler {
    /// Uses the last element of the map of unwind tables, which has none.
    pub(super) fn new(tables: &MapData, flags: u32) -> Result<Self, BpfError> {
        let inner = Array::create(1, flags).map_err(BpfError::map(names::TABLES))?;
        Ok(Self { outer: duplicate(tables)?, inner })
    }

    /// Waits.
    pub(super) fn settle(&self) {
        let several =
            thread::available_parallelism().is_ok_and(|number| number > NonZero::<usize>::MIN);
        let waited = several && membarrier(MembarrierCommand::Global).is_ok();
        if !waited && self.replace().is_err() {
            thread::sleep(LONG);
        }
    }

    fn replace(&self) -> Result<(), BpfError> {
        let outer = Map::ArrayOfMaps(duplicate(&self.outer)?);
        let mut outer: ArrayOfMaps<_, Array<MapData, Node>> =
            outer.try_into().map_err(BpfError::map(names::TABLES))?;
        outer.set(MAX_TABLES, &self.inner, 0).map_err(BpfError::map(names::TABLES))
    }
}

/// Another handle of the same map.
pub(super) fn duplicate(map: &MapData) -> Result<MapData, BpfError> {
    let fd = map.fd().as_fd().try_clone_to_owned().map_err(BpfError::Descriptor)?;
    MapData::from_fd(fd).map_err(BpfError::map(names::TABLES))
}
