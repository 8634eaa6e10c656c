//! Putting unwind tables into the kernel, from any thread.

use std::{
    fmt,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use aya::maps::{Array, ArrayOfMaps, Map, MapData, MapError};
use tracer_common::{
    limits::MAX_TABLES,
    names,
    unwind::{NODE_BYTES, Node},
};

use super::BpfError;

/// `BPF_F_INNER_MAP`: the tables may differ in size. As the kernel side declares them.
const ANY_SIZE: u32 = 1 << 12;

/// An unwind table in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableId(pub u32);

/// Where unwind tables go. Each thread has a handle of its own, because the kernel makes the one who adds a table
/// wait for a grace period (some 10 ms).
pub struct TableStore {
    map: MapData,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    tables: AtomicU32,
    nodes: AtomicU64,
}

impl fmt::Debug for TableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableStore").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl TableStore {
    pub(super) fn new(map: MapData) -> Self {
        Self { map, shared: Arc::default() }
    }

    /// Another handle to the same tables.
    ///
    /// # Errors
    ///
    /// Where the process has no descriptors left.
    pub fn try_clone(&self) -> Result<Self, BpfError> {
        Ok(Self { map: self.clone_map()?, shared: Arc::clone(&self.shared) })
    }

    /// Copies a table into the kernel. Nobody sees it before it is whole. It stays for the whole run.
    ///
    /// # Errors
    ///
    /// [`BpfError::TablesFull`] where there is no room for another one; where the kernel has no memory.
    pub fn add(&self, nodes: &[Node]) -> Result<TableId, BpfError> {
        let fill = || -> Result<_, MapError> {
            let mut table = Array::<_, Node>::create(nodes.len() as u32, ANY_SIZE)?;
            for (number, node) in nodes.iter().enumerate() {
                table.set(number as u32, node, 0)?;
            }
            Ok(table)
        };
        let id = self.shared.tables.fetch_add(1, Ordering::Relaxed);
        if id >= MAX_TABLES {
            // So that it never wraps around.
            self.shared.tables.store(MAX_TABLES, Ordering::Relaxed);
            return Err(BpfError::TablesFull { most: MAX_TABLES });
        }
        let table = fill().map_err(BpfError::map(names::TABLES))?;
        let mut tables: ArrayOfMaps<_, Array<MapData, Node>> =
            Map::ArrayOfMaps(self.clone_map()?).try_into().map_err(BpfError::map(names::TABLES))?;
        // From here on the outer map holds it: our own descriptor may go.
        tables.set(id, &table, 0).map_err(BpfError::map(names::TABLES))?;
        self.shared.nodes.fetch_add(nodes.len() as u64, Ordering::Relaxed);
        Ok(TableId(id))
    }

    /// What all tables take, in bytes.
    pub fn bytes(&self) -> u64 {
        self.shared.nodes.load(Ordering::Relaxed) * NODE_BYTES as u64
    }

    fn clone_map(&self) -> Result<MapData, BpfError> {
        let fd = self.map.fd().as_fd().try_clone_to_owned().map_err(BpfError::Descriptor)?;
        MapData::from_fd(fd).map_err(BpfError::map(names::TABLES))
    }
}
