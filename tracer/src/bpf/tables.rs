//! Putting unwind tables into the kernel, from any thread.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use aya::maps::{Array, ArrayOfMaps, Map, MapData};
use tracer_common::{
    limits::MAX_TABLES,
    names,
    unwind::{NODE_BYTES, Node},
};

use super::{
    BpfError,
    settle::{Settler, duplicate},
};

/// `BPF_F_INNER_MAP`: the tables may differ in size. As the kernel side declares them.
const ANY_SIZE: u32 = 1 << 12;

/// Nodes that a map of tables has to spare, for those of objects that come later: 1 MiB.
const SPARE: usize = 256;

/// A map of unwind tables in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableId(pub u32);

/// Where the first of some tables lies; the others follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TablePlace {
    /// The map.
    pub map: TableId,
    /// The number of the node.
    pub root: u32,
}

/// Where unwind tables go.
///
/// The kernel makes whoever adds a map wait for a grace period (some 10 ms), but not who writes into one that is
/// there. So each has some nodes to spare, and nobody waits for the tables of an object that was just loaded.
pub struct TableStore {
    outer: MapData,
    /// The last map, and how many of its nodes are used.
    open: Option<Open>,
    shared: Arc<Shared>,
}

struct Open {
    id: TableId,
    map: Array<MapData, Node>,
    used: usize,
}

#[derive(Default)]
struct Shared {
    maps: AtomicU32,
    nodes: AtomicU64,
}

impl fmt::Debug for TableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableStore").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Open {
    fn room(&self) -> usize {
        self.map.len() as usize - self.used
    }

    /// Nobody is told of these nodes yet.
    fn write(&mut self, tables: &[&[Node]]) -> Result<TablePlace, BpfError> {
        let root = self.used;
        for (at, node) in tables.iter().copied().flatten().enumerate() {
            let set = self.map.set((root + at) as u32, node, 0);
            set.map_err(BpfError::map(names::TABLES))?;
        }
        self.used += nodes(tables);
        Ok(TablePlace { map: self.id, root: root as u32 })
    }
}

impl TableStore {
    pub(super) fn new(outer: MapData) -> Self {
        Self { outer, open: None, shared: Arc::default() }
    }

    /// Another handle, whose tables go into maps of their own.
    ///
    /// # Errors
    ///
    /// Where the process has no descriptors left.
    pub fn try_clone(&self) -> Result<Self, BpfError> {
        Ok(Self { outer: self.clone_outer()?, open: None, shared: Arc::clone(&self.shared) })
    }

    /// Copies tables into the kernel, one after the other. They stay for the whole run.
    ///
    /// # Errors
    ///
    /// [`BpfError::TablesFull`] where there is no room for another map; where the kernel has no memory.
    pub fn add(&mut self, tables: &[&[Node]]) -> Result<TablePlace, BpfError> {
        let len = nodes(tables);
        if let Some(open) = self.open.as_mut().filter(|open| open.room() >= len) {
            return open.write(tables);
        }
        let mut open = self.create(len + SPARE)?;
        let place = open.write(tables)?;
        self.publish(&open)?;
        self.open = Some(open);
        Ok(place)
    }

    /// Sees to it that there is room for what comes next, while nobody waits for it.
    ///
    /// # Errors
    ///
    /// As [`TableStore::add`].
    pub fn make_room(&mut self) -> Result<(), BpfError> {
        if self.open.as_ref().is_some_and(|open| open.room() < SPARE / 2) {
            let open = self.create(SPARE)?;
            self.publish(&open)?;
            self.open = Some(open);
        }
        Ok(())
    }

    /// What all tables take, in bytes, with what is spare.
    pub fn bytes(&self) -> u64 {
        self.shared.nodes.load(Ordering::Relaxed) * NODE_BYTES as u64
    }

    fn create(&self, len: usize) -> Result<Open, BpfError> {
        let map = Array::create(len as u32, ANY_SIZE).map_err(BpfError::map(names::TABLES))?;
        let id = self.shared.maps.fetch_add(1, Ordering::Relaxed);
        if id >= MAX_TABLES {
            // So that it never wraps around.
            self.shared.maps.store(MAX_TABLES, Ordering::Relaxed);
            return Err(BpfError::TablesFull { most: MAX_TABLES });
        }
        Ok(Open { id: TableId(id), map, used: 0 })
    }

    /// Lets the kernel side see a map. This waits.
    fn publish(&self, open: &Open) -> Result<(), BpfError> {
        let outer = Map::ArrayOfMaps(self.clone_outer()?);
        let mut outer: ArrayOfMaps<_, Array<MapData, Node>> =
            outer.try_into().map_err(BpfError::map(names::TABLES))?;
        outer.set(open.id.0, &open.map, 0).map_err(BpfError::map(names::TABLES))?;
        self.shared.nodes.fetch_add(u64::from(open.map.len()), Ordering::Relaxed);
        Ok(())
    }

    /// Something that waits by means of the map.
    pub(super) fn settler(&self) -> Result<Settler, BpfError> {
        Settler::new(&self.outer, ANY_SIZE)
    }

    fn clone_outer(&self) -> Result<MapData, BpfError> {
        duplicate(&self.outer)
    }
}

fn nodes(tables: &[&[Node]]) -> usize {
    tables.iter().map(|table| table.len()).sum()
}
