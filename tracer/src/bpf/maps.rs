//! The object's maps, typed.

use aya::{
    Ebpf,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf},
};
use tracer_common::{
    CodeMap, CodeRange, Control, EpochSlot, KernelState, LiveBlock, LiveKey, PoolTaken,
    PythonConfig, Row, RowKey, Tally, ThreadState, names,
};

use super::{BpfError, TableStore};

/// All maps that user space reads or writes.
pub(super) struct Maps {
    pub(super) control: Array<MapData, Control>,
    pub(super) state: Array<MapData, KernelState>,
    pub(super) epochs: Array<MapData, EpochSlot>,
    pub(super) rows: HashMap<MapData, RowKey, Row>,
    pub(super) live: HashMap<MapData, LiveKey, LiveBlock>,
    pub(super) threads: HashMap<MapData, u64, ThreadState>,
    pub(super) code: Array<MapData, CodeMap>,
    pub(super) tables: TableStore,
    pub(super) allocators: Array<MapData, CodeRange>,
    pub(super) python: Array<MapData, PythonConfig>,
    pub(super) python_frees: Array<MapData, u64>,
    pub(super) python_pools: HashMap<MapData, u64, PoolTaken>,
    pub(super) pool_words: Array<MapData, u64>,
    pub(super) room: Array<MapData, u64>,
    pub(super) tally: PerCpuArray<MapData, Tally>,
    pub(super) events: RingBuf<MapData>,
    pub(super) raw_stacks: RingBuf<MapData>,
}

impl Maps {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, BpfError> {
        Ok(Self {
            control: take(ebpf, names::CONTROL)?,
            state: take(ebpf, names::STATE)?,
            epochs: take(ebpf, names::EPOCHS)?,
            rows: take(ebpf, names::ROWS)?,
            live: take(ebpf, names::LIVE)?,
            threads: take(ebpf, names::THREADS)?,
            code: take(ebpf, names::CODE)?,
            tables: TableStore::new(take_raw(ebpf, names::TABLES)?),
            allocators: take(ebpf, names::ALLOCATORS)?,
            python: take(ebpf, names::PYTHON)?,
            python_frees: take(ebpf, names::PYTHON_FREES)?,
            python_pools: take(ebpf, names::PYTHON_POOLS)?,
            pool_words: take(ebpf, names::POOL_WORDS)?,
            room: take(ebpf, names::ROOM)?,
            tally: take(ebpf, names::TALLY)?,
            events: take(ebpf, names::EVENTS)?,
            raw_stacks: take(ebpf, names::RAW_STACKS)?,
        })
    }
}

/// Takes a map out of the object.
pub(super) fn take<T: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, BpfError> {
    let map = ebpf.take_map(name).ok_or(BpfError::Missing { name })?;
    map.try_into().map_err(BpfError::map(name))
}

/// Takes an array of maps out of the object, as it is.
fn take_raw(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, BpfError> {
    match ebpf.take_map(name) {
        Some(Map::ArrayOfMaps(map)) => Ok(map),
        _ => Err(BpfError::Missing { name }),
    }
}
