//! Records that are out of the ring buffer and wait for their turn. Working one off takes longer than it takes the target to send the
//! next: whoever left them in the ring meanwhile would lose stacks in a burst of new ones.

use std::collections::VecDeque;

use aya::maps::{MapData, RingBuf};

/// Bytes that may wait here. What comes then stays in the ring, which has a reserve of its own again.
const MOST_BYTES: usize = 32 << 20;

/// A queue behind the ring buffer.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    records: VecDeque<Box<[u8]>>,
    bytes: usize,
}

impl Inbox {
    /// Empties the ring. Gives how many records wait now.
    pub(super) fn fill(&mut self, ring: &mut RingBuf<MapData>) -> usize {
        while self.bytes < MOST_BYTES
            && let Some(record) = ring.next()
        {
            self.bytes += record.len();
            self.records.push_back(Box::from(&*record));
        }
        self.records.len()
    }

    /// The oldest record.
    pub(super) fn next(&mut self) -> Option<Box<[u8]>> {
        let oldest = self.records.pop_front()?;
        self.bytes -= oldest.len();
        Some(oldest)
    }

    /// Whether any record waits.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}
