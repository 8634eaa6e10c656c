//! Taking finished epochs out of the kernel, and the live set at the end.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use tracer_common::{
    Epoch, EpochSlot, EventHeader, LiveBlock, LiveKey, POOL_TAKEN, PoolTaken, RowCounts, RowKey,
    Space, StackId, Trigger,
    limits::{MAX_EPOCHS, MAX_PYTHON_POOLS, RING_BYTES},
    names,
};

use super::{BpfError, Event, Kernel};

/// An epoch whose counters will not change any more.
#[derive(Clone, Debug)]
pub struct FinishedEpoch {
    /// Which.
    pub epoch: Epoch,
    /// What ended it; `None` where the kernel side wrote something unknown.
    pub trigger: Option<Trigger>,
    /// `CLOCK_MONOTONIC` at its end, ns.
    pub end_ns: u64,
    /// Highest live bytes within it.
    pub peak_bytes: u64,
    /// Counters by address space and stack.
    pub rows: Vec<(Space, StackId, RowCounts)>,
}

/// A block that is live at the end.
#[derive(Clone, Copy, Debug)]
pub struct LiveEntry {
    /// Low byte of its address space's number.
    pub space_byte: u8,
    /// Its record.
    pub block: LiveBlock,
}

impl Kernel {
    /// A descriptor that is readable when there are events.
    ///
    /// # Errors
    ///
    /// Where the process has no descriptors left.
    pub fn events_fd(&self) -> io::Result<OwnedFd> {
        self.maps.events.as_fd().try_clone_to_owned()
    }

    /// How many events there are now; where that is not known, more than there can be.
    ///
    /// Of a target that waits for us ([`Kernel::hold_when_full`]) they stay in the ring buffer until it is their turn: it is to get
    /// no further ahead.
    pub fn receive(&mut self) -> usize {
        const MOST: usize = RING_BYTES as usize / size_of::<EventHeader>();
        if self.is_held() { MOST } else { self.inbox.fill(&mut self.maps.events) }
    }

    /// The next event, if there is one. Stacks as raw memory are none.
    pub fn next_event(&mut self) -> Option<Event> {
        if self.inbox.is_empty() && self.is_held() {
            return self.maps.events.next().map(|record| Event::parse(&record));
        }
        self.inbox.fill(&mut self.maps.events);
        self.inbox.next().map(|record| Event::parse(&record))
    }

    /// The next stack as raw memory, if there is one.
    pub fn next_raw_stack(&mut self) -> Option<Event> {
        self.maps.raw_stacks.next().map(|record| Event::parse(&record))
    }

    /// Whether events wait that [`Kernel::events_fd`] doesn't tell of.
    pub fn has_events(&self) -> bool {
        !self.inbox.is_empty()
    }

    fn is_held(&self) -> bool {
        self.control.hold_images != 0 && self.control.most_rows != 0
    }

    /// Takes out all epochs that have ended, oldest first.
    ///
    /// A program that began before the mark may still be adding to the epoch that it read, so all running
    /// programs are waited for between learning which epochs ended and reading their counters. The target
    /// is never waited for, nor does it wait.
    ///
    /// # Errors
    ///
    /// Where a map can't be read or written.
    pub fn drain(&mut self) -> Result<Vec<FinishedEpoch>, BpfError> {
        let first = self.control.drained;
        let running = self.state()?.epoch;
        if running == first {
            return Ok(Vec::new());
        }
        self.settler.settle();
        let mut epochs = Vec::new();
        for epoch in first..running {
            epochs.push(self.take_slot(Epoch(epoch))?);
        }
        for (key, counts) in self.take_rows(Epoch(running))? {
            if let Some(epoch) = epochs.get_mut((key.epoch.0 - first) as usize) {
                epoch.rows.push((key.space, key.stack, counts));
            }
        }
        self.rows_are_drained()?;
        self.control.drained = running;
        self.write_control()?;
        Ok(epochs)
    }

    /// Every live block. Only exact after [`Kernel::stop`]: a map that changes while it is walked repeats
    /// and skips entries.
    ///
    /// # Errors
    ///
    /// Where the map can't be read.
    pub fn live_blocks(&self) -> impl Iterator<Item = Result<LiveEntry, BpfError>> + '_ {
        self.maps.live.iter().map(|entry| {
            let (key, block): (LiveKey, LiveBlock) = entry.map_err(BpfError::map(names::LIVE))?;
            Ok(LiveEntry { space_byte: key.space_byte(), block })
        })
    }

    /// Who took each of Python's pools that was taken since the recording began, by the pool's address; what has been given
    /// back since among them.
    ///
    /// # Errors
    ///
    /// Where the map can't be read.
    pub fn python_pools(&self) -> Result<HashMap<u64, PoolTaken>, BpfError> {
        // The target goes on meanwhile: as in `purge_replaced`.
        let entries = self.maps.python_pools.iter().take(MAX_PYTHON_POOLS as usize);
        entries.collect::<Result<_, _>>().map_err(BpfError::map(names::PYTHON_POOLS))
    }

    /// How many of Python's pools were taken.
    ///
    /// # Errors
    ///
    /// Where the map can't be read.
    pub fn python_pools_taken(&self) -> Result<u64, BpfError> {
        self.maps.pool_words.get(&POOL_TAKEN, 0).map_err(BpfError::map(names::POOL_WORDS))
    }

    /// Forgets who took these pools. One that is taken at this moment may be forgotten with them.
    pub fn forget_python_pools(&mut self, pools: impl IntoIterator<Item = u64>) {
        for pool in pools {
            // It may be gone already.
            let _ = self.maps.python_pools.remove(&pool);
        }
    }

    /// Takes the blocks of replaced images out of the live set: they went with their image, and their places are
    /// needed.
    ///
    /// # Errors
    ///
    /// Where the map can't be read.
    pub fn purge_replaced(&mut self) -> Result<(), BpfError> {
        let present = self.state()?.space as u8;
        // The target goes on meanwhile, and a walk over a changing map may begin again and repeat keys: so it is
        // cut short where it can't but repeat.
        let most = self.max_live as usize;
        let mut gone = Vec::new();
        for key in self.maps.live.keys().take(most) {
            let key = key.map_err(BpfError::map(names::LIVE))?;
            // The target may have replaced its image again meanwhile: what is newer is not gone.
            let replaced = present.wrapping_sub(key.space_byte());
            if (1..=u8::MAX / 2).contains(&replaced) {
                gone.push(key);
            }
        }
        for key in gone {
            // Repeated ones are gone already.
            let _ = self.maps.live.remove(&key);
        }
        Ok(())
    }

    /// Blocks that a reallocation took out of the live set, and that has not returned. They are live still.
    ///
    /// # Errors
    ///
    /// Where the map can't be read.
    pub fn blocks_in_flight(&self) -> Result<Vec<LiveBlock>, BpfError> {
        let mut blocks = Vec::new();
        for entry in &self.maps.threads {
            let (_, thread) = entry.map_err(BpfError::map(names::THREADS))?;
            if thread.sp != 0 && thread.has_old != 0 {
                blocks.push(thread.old);
            }
        }
        Ok(blocks)
    }

    fn take_slot(&mut self, epoch: Epoch) -> Result<FinishedEpoch, BpfError> {
        let index = epoch.0 & (MAX_EPOCHS - 1);
        let slot = self.maps.epochs.get(&index, 0).map_err(BpfError::map(names::EPOCHS))?;
        self.maps
            .epochs
            .set(index, EpochSlot::default(), 0)
            .map_err(BpfError::map(names::EPOCHS))?;
        let mut rows = Vec::new();
        if slot.unknown != RowCounts::default() {
            rows.push((Space(self.drained_space), StackId::UNKNOWN, slot.unknown));
        }
        let trigger = Trigger::from_raw(slot.trigger);
        if trigger == Some(Trigger::Exec) {
            self.drained_space += 1;
        }
        let peak_bytes = slot.peak_bytes.max(0) as u64;
        Ok(FinishedEpoch { epoch, trigger, end_ns: slot.end_ns, peak_bytes, rows })
    }

    /// Removes all rows of epochs before `running`.
    fn take_rows(&mut self, running: Epoch) -> Result<Vec<(RowKey, RowCounts)>, BpfError> {
        // First all keys, then the removals: the walk starts over when the key that it stands on goes.
        // The kernel side never removes a row, and what it adds meanwhile belongs to the running epoch.
        let mut keys = Vec::new();
        for key in self.maps.rows.keys() {
            let key = key.map_err(BpfError::map(names::ROWS))?;
            if key.epoch < running {
                keys.push(key);
            }
        }
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            let row = self.maps.rows.get(&key, 0).map_err(BpfError::map(names::ROWS))?;
            self.maps.rows.remove(&key).map_err(BpfError::map(names::ROWS))?;
            rows.push((key, row.counts));
        }
        Ok(rows)
    }
}
