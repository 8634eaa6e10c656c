//! What becomes of a recording when the target is not what it was: another image, another main thread, other objects.

use std::time::Duration;

use super::{SessionError, recorder::Recorder};
use crate::{bpf::BpfError, units::Pid};

/// Between the exit of one thread and that of all others, where the process ends as a whole.
const ENDING: Duration = Duration::from_millis(2);

impl Recorder {
    /// The target replaced its image. Probes on objects that it had before are there at once; an allocator
    /// that is new with the image was at work without.
    pub(super) fn replaced(&mut self) -> Result<(), SessionError> {
        let before = self.prober.functions();
        self.prober.begin_image();
        let refreshed = self.refresh();
        if self.holds.image_replaced() {
            self.go_on(refreshed)?;
        } else {
            refreshed?;
        }
        if self.prober.functions() > before {
            self.interruptions += 1;
            tracing::warn!(
                "the new image has another allocator: what it did before it was probed is lost"
            );
        }
        Ok(self.kernel.purge_replaced()?)
    }

    /// The main thread ended. If the process goes on, so do we.
    pub(super) fn main_exit(&mut self) -> Result<(), SessionError> {
        let thread = self.process.living_thread();
        if thread.is_some() {
            // A process that ends as a whole looks for a moment as if one thread went on.
            std::thread::sleep(ENDING);
        }
        match self.process.living_thread() {
            Some(now) if thread == Some(now) => {
                self.prober.begin_image(); // what was probed since went with the thread as well
                self.follow_thread(now)
            }
            _ => Ok(()),
        }
    }

    /// The task that the probes were set for is gone: sets them for another.
    pub(super) fn follow_thread(&mut self, thread: Pid) -> Result<(), SessionError> {
        self.interruptions += 1;
        self.pace.done(true);
        let Self { kernel, modules, unwinding, python, .. } = self;
        kernel.distrust_python_code()?;
        let moved = self.prober.move_to(thread, kernel, modules, unwinding);
        python.move_to(thread, modules, kernel, &mut self.prober.objects)?;
        match moved {
            // It ended meanwhile. The loss is in the report already.
            Err(SessionError::Target(_) | SessionError::Bpf(BpfError::Attach { .. })) => {}
            other => other?,
        }
        tracing::warn!(
            "the main thread ended or was replaced: the probes are set again, what came in between is lost"
        );
        Ok(())
    }

    /// Reads the mappings again, and probes what is new in them.
    pub(super) fn refresh(&mut self) -> Result<(), SessionError> {
        let Self { kernel, modules, unwinding, .. } = self;
        let (before, removals) = (unwinding.version(), unwinding.removals());
        let refreshed = self.prober.refresh(kernel, modules, unwinding);
        self.pace.done(unwinding.version() != before);
        if removals.is_some() && unwinding.removals() == removals {
            self.name_unplaced();
        } else {
            self.unplaced.clear(); // other code may be there now
        }
        // A target that ended is no longer of interest to it.
        let Self { kernel, modules, prober, python, .. } = self;
        let looked = python.look(prober.pid(), modules, kernel, &mut prober.objects);
        match refreshed.map(drop).and(looked) {
            // It ended, and what it had mapped is as we saw it last.
            Err(SessionError::Target(_)) => Ok(()),
            // One object that comes late must not cost the report of all others.
            Err(
                error @ (SessionError::MarkFunction { .. }
                | SessionError::Bpf(BpfError::Attach { .. })),
            ) => {
                self.interruptions += 1;
                let error = anyhow::Error::from(error);
                tracing::warn!("a library that was loaded now is not probed: {error:#}");
                Ok(())
            }
            other => other,
        }
    }
}
