//! Records that are out of the ring buffer and wait for their turn. Working one off takes longer than it takes the target to send the
//! next: whoever left them in the ring meanwhile would lose stacks in a burst of new ones.

use std::collections::VecDeque;

use aya::maps::{MapData, RingBuf};

/// Bytes that may wait here. What comes then stays in the ring, which has a reserve of its own again.
const MOST_BYTES: usize = 32 << 20;

/// A queue before the ring buffer.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    records: VecDeque<Box<[u8]>>,
    bytes: usize,
}

impl Inbox {
    /// The oldest record, after emptying the ring.
    pub(super) fn next(&mut self, ring: &mut RingBuf<MapData>) -> Option<Box<[u8]>> {
        while self.bytes < MOST_BYTES
            && let Some(record) = ring.next()
        {
            self.bytes += record.len();
            self.records.push_back(Box::from(&*record));
        }
        let oldest = self.records.pop_front()?;
        self.bytes -= oldest.len();
        Some(oldest)
    }
}
