//! Waiting for conditions, never for a fixed time, and never for ever.

use std::{
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

/// Longer than anything takes on a loaded machine; a test that waits so long has failed.
pub const LONG: Duration = Duration::from_mins(1);

/// Between two looks at a condition that can't be waited for.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Errors
///
/// When it takes longer than [`LONG`]; `what` names it.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > LONG {
            bail!("waited in vain until {what}");
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Waits for a child's end.
pub(crate) fn for_end(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let pid = Pid::from_child(child);
    if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) {
        let limit = Timespec {
            tv_sec: limit.as_secs().cast_signed(),
            tv_nsec: limit.subsec_nanos().into(),
        };
        // Interrupted or timed out: the question below tells.
        let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit));
    }
    child.try_wait()?.with_context(|| format!("process {} did not end in time", child.id()))
}
