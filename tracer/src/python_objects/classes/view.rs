//! What is asked of a process.

/// Bytes of what is read at many places: a pool's header, an arena's entry.
pub const PIECE: usize = 48;

/// The memory of a process, which may change while it is read.
pub trait View {
    /// Reads from `address` on; how many bytes could be read. None of a process that has ended or replaced its image.
    fn read(&self, address: u64, bytes: &mut [u8]) -> usize;

    /// Reads at many places; `None` for each that is not mapped.
    fn gather(&self, addresses: &[u64]) -> Vec<Option<[u8; PIECE]>>;

    /// Where it has memory of no file that it may write, by address.
    fn anonymous(&self) -> Ranges;

    /// The most bytes that it has ever had mapped at once.
    fn peak(&self) -> u64;

    /// One word; `None` where none is mapped.
    fn word(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        (self.read(address, &mut bytes) == bytes.len()).then(|| u64::from_le_bytes(bytes))
    }
}

/// Stretches of addresses (the first, and the one after the last), in order and apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// From stretches in order; neighbours are joined.
    pub fn joined(stretches: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut all: Vec<(u64, u64)> = Vec::new();
        for (start, end) in stretches {
            match all.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ => all.push((start, end)),
            }
        }
        Self(all)
    }

    /// Whether so many bytes from `address` on are all in one of them.
    pub fn contain(&self, address: u64, bytes: u64) -> bool {
        let after = self.0.partition_point(|range| range.0 <= address);
        let range = after.checked_sub(1).map(|at| self.0[at]);
        range.is_some_and(|(_, end)| address.checked_add(bytes).is_some_and(|last| last <= end))
    }
}
