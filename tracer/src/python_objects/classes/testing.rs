//! A process that is made up: some memory with arenas, as pymalloc lays them out.

use super::{
    arena::ENTRY,
    geometry::{GEOMETRIES, Geometry},
    pool::HEADER,
    view::{PIECE, Ranges, View},
};

/// 3.10's and later.
pub(super) const NOW: Geometry = GEOMETRIES[0];
/// Where the interpreter's variables are.
pub(super) const DATA: (u64, u64) = (0x40_0000, 0x40_1000);
/// Where the array of arenas is. Its 16 entries are followed by as much of something else.
pub(super) const ARRAY: u64 = 0x7000_0000;
/// Where the first arena is: aligned to a page, but not to a pool.
pub(super) const FIRST_ARENA: u64 = 0x7f00_0000_1000;

/// Stretches of memory.
#[derive(Clone, Debug)]
pub(super) struct Fake {
    pub(super) geometry: Geometry,
    memory: Vec<(u64, Vec<u8>)>,
}

impl Fake {
    /// An interpreter whose variables lead to the array, and an arena with pools of these: index of the arena, then class and
    /// blocks in use of each pool.
    pub(super) fn new(geometry: Geometry, arenas: &[(u32, &[(u32, u32)])]) -> Self {
        let data = vec![0; (DATA.1 - DATA.0) as usize];
        let array = vec![0; 32 * ENTRY];
        let mut fake = Self { geometry, memory: vec![(DATA.0, data), (ARRAY, array)] };
        fake.put(DATA.0 + 0x100, ARRAY);
        for (index, pools) in arenas {
            fake.put_arena(ARRAY, *index, pools);
        }
        fake
    }

    /// Maps more memory.
    pub(super) fn map(&mut self, address: u64, bytes: usize) {
        self.memory.push((address, vec![0; bytes]));
    }

    /// Writes a word.
    pub(super) fn put(&mut self, address: u64, word: u64) {
        self.write(address, &word.to_le_bytes());
    }

    /// Writes a field of 32 bits.
    pub(super) fn put_half(&mut self, address: u64, half: u32) {
        self.write(address, &half.to_le_bytes());
    }

    /// Where the arena of this index is.
    pub(super) fn arena(&self, index: u32) -> u64 {
        FIRST_ARENA + u64::from(index) * self.geometry.arena
    }

    /// Where its pool of this number is.
    pub(super) fn pool(&self, index: u32, number: u64) -> u64 {
        let first = self.geometry.first_pool(self.arena(index)).expect("a small address");
        first + number * self.geometry.pool
    }

    /// An arena with such pools, and its entry in an array.
    pub(super) fn put_arena(&mut self, array: u64, index: u32, pools: &[(u32, u32)]) {
        let (address, geometry) = (self.arena(index), self.geometry);
        if self.find(address, 1).is_none() {
            self.map(address, geometry.arena as usize);
        }
        let all = (address + geometry.arena - self.pool(index, 0)) / geometry.pool;
        let entry = array + u64::from(index) * ENTRY as u64;
        self.put(entry, address);
        self.put(entry + 8, self.pool(index, pools.len() as u64));
        self.put_half(entry + 16, all as u32 - pools.len() as u32);
        self.put_half(entry + 20, all as u32);
        for (number, (class, used)) in (0..).zip(pools) {
            let (pool, size) = (self.pool(index, number), (class + 1) * 16);
            self.put_half(pool, *used);
            self.put_half(pool + 32, index);
            self.put_half(pool + 36, *class);
            self.put_half(pool + 40, HEADER as u32 + 2 * size);
            self.put_half(pool + 44, geometry.pool as u32 - size);
        }
    }

    fn write(&mut self, address: u64, bytes: &[u8]) {
        let (region, at) = self.find(address, bytes.len()).expect("it is mapped");
        self.memory[region].1[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Which stretch, and where in it.
    fn find(&self, address: u64, bytes: usize) -> Option<(usize, usize)> {
        self.memory.iter().enumerate().find_map(|(region, (start, memory))| {
            let at = usize::try_from(address.checked_sub(*start)?).ok()?;
            (at + bytes <= memory.len()).then_some((region, at))
        })
    }
}

impl View for Fake {
    fn read(&self, address: u64, bytes: &mut [u8]) -> usize {
        let Some((region, at)) = self.find(address, 1) else { return 0 };
        let rest = &self.memory[region].1[at..];
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        len
    }

    fn gather(&self, addresses: &[u64]) -> Vec<Option<[u8; PIECE]>> {
        let piece = |address: &u64| {
            let mut piece = [0; PIECE];
            (self.read(*address, &mut piece) == PIECE).then_some(piece)
        };
        addresses.iter().map(piece).collect()
    }

    fn anonymous(&self) -> Ranges {
        let mut all: Vec<_> =
            self.memory[1..].iter().map(|(start, it)| (*start, start + it.len() as u64)).collect();
        all.sort_unstable();
        Ranges::joined(all)
    }

    fn peak(&self) -> u64 {
        // As if it had filled an array of 32 once.
        16 * self.geometry.arena
    }
}
