//! Where kernel sides go that are not needed any more: taking their probes out takes seconds, which the next run of
//! the command need not wait for.

use std::{
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use super::{SessionError, recorder::Recorder};

/// A thread that drops what it is given.
#[derive(Debug)]
pub(super) struct Retired {
    queue: SyncSender<Recorder>,
}

impl Retired {
    /// Starts the thread. It ends with this value, and what it is at then ends with the process.
    ///
    /// # Errors
    ///
    /// Where the system refuses it.
    pub(super) fn start() -> Result<Self, SessionError> {
        // Without room: each holds some 30 MiB of kernel memory, so one waits for the other.
        let (queue, retired) = sync_channel(0);
        let work = move || retired.into_iter().for_each(drop::<Recorder>);
        thread::Builder::new()
            .name("probe-removal".to_owned())
            .spawn(work)
            .map_err(SessionError::Retire)?;
        Ok(Self { queue })
    }

    /// Drops one, once the thread has dropped the one before.
    pub(super) fn add(&self, recorder: Recorder) {
        // Were the thread gone, it would be dropped here.
        let _ = self.queue.send(recorder);
    }
}
