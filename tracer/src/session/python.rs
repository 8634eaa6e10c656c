//! Python in the target: finding its interpreter, and reading what its frames are called while they live.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tracer_common::{PythonFrame, Space, UnwindStatus};

use super::{
    SessionError, merged, python_code, python_frames::PythonFrames, python_objects::ObjectProbes,
    recorder::Recorder, stacks::KnownStack,
};
use crate::{
    analysis::NativeFrames,
    bpf::{BpfError, Kernel, NewCode},
    cli::TraceConfig,
    ledger::StackKey,
    python::{Finder, Found, Interpreter, Names, Unnamed},
    symbolize::SourceRoot,
    target::{Modules, PythonFrameId},
    units::Pid,
};

/// Entered once in the life of `python`, when its interpreter is ready and nothing of the program has run.
pub(super) const START: &str = "Py_RunMain";

/// Between two looks at an interpreter that is not ready. A look takes some tens of microseconds.
const PAUSE: Duration = Duration::from_millis(5);

/// Of a frame that was never heard of, which does not happen.
const UNKNOWN: PythonFrameId = PythonFrameId(u32::MAX);

/// What is known of the interpreters of all images.
pub(super) struct Python {
    finder: Finder,
    images: BTreeMap<u32, Image>,
    /// Frames as reports show them. They are made as soon as they are heard of, while their code objects are there.
    pub(super) frames: PythonFrames,
    native_frames: NativeFrames,
    /// Rows after which an epoch is drained: half of those that there is room for.
    most_rows: u32,
    /// When to look again for one that is not ready.
    due: Option<Instant>,
}

/// What an image of the target has of Python.
enum Image {
    Ready {
        interpreter: Box<Interpreter>,
        names: Box<Names>,
    },
    /// It has been said.
    Unfit,
}

impl std::fmt::Debug for Python {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Python").field("frames", &self.frames).finish_non_exhaustive()
    }
}

impl Python {
    pub(super) fn new(config: &TraceConfig) -> Self {
        Self {
            finder: Finder::default(),
            images: BTreeMap::new(),
            frames: PythonFrames::default(),
            native_frames: config.native_frames,
            most_rows: config.max_stacks,
            due: None,
        }
    }

    /// Whether it is time to look for an interpreter that was not ready.
    pub(super) fn is_due(&self) -> bool {
        self.due.is_some_and(|due| Instant::now() >= due)
    }

    /// Looks for an interpreter, unless the image's is known, and tells the kernel side. A target that has ended has none.
    ///
    /// # Errors
    ///
    /// Where the kernel side can't be told.
    pub(super) fn look(
        &mut self,
        pid: Pid,
        modules: &Modules,
        kernel: &mut Kernel,
        objects: &mut ObjectProbes,
    ) -> Result<(), SessionError> {
        let space = kernel.state()?.space;
        self.due = None;
        if self.images.contains_key(&space) {
            return Ok(());
        }
        let Ok(found) = self.finder.find(pid, modules) else { return Ok(()) };
        let image = match found {
            Found::None => return Ok(()),
            Found::NotYet => {
                self.due = Some(Instant::now() + PAUSE);
                return Ok(());
            }
            Found::Ready(interpreter) => {
                if kernel.state()?.space != space {
                    return Ok(()); // what we read may be of the image before
                }
                match kernel.set_python(&interpreter.config(Space(space))) {
                    Err(error @ (BpfError::Python { .. } | BpfError::PythonOffsets)) => {
                        tracing::warn!("{:#}", anyhow::Error::from(error));
                        self.images.insert(space, Image::Unfit);
                        return Ok(());
                    }
                    other => other?,
                }
                kernel.hold_when_full(self.most_rows)?;
                tracing::debug!(
                    "Python {} in {}: stacks have its frames",
                    interpreter.version(),
                    interpreter.object()
                );
                python_code::hear_of_freed(kernel, modules, pid, &interpreter);
                objects.hear_of_pools(kernel, modules, pid);
                let root = SourceRoot::of_process(pid).ok();
                Image::Ready { interpreter, names: Box::new(Names::new(pid, root)) }
            }
            Found::Unfit(unfit) => {
                tracing::warn!("{unfit}");
                Image::Unfit
            }
        };
        self.images.insert(space, image);
        Ok(())
    }

    /// How many interpreters, beside the main ones, may have an allocator of their own now.
    pub(super) fn others(&self) -> usize {
        let ready = self.images.values().map(|image| match image {
            Image::Ready { interpreter, .. } => interpreter.others(),
            Image::Unfit => 0,
        });
        ready.sum()
    }

    /// The probes are about to be set again, for another thread: until then code may be freed unheard, and pools
    /// taken.
    pub(super) fn move_to(
        &self,
        thread: Pid,
        modules: &Modules,
        kernel: &mut Kernel,
        objects: &mut ObjectProbes,
    ) -> Result<(), SessionError> {
        let space = kernel.state()?.space;
        if let Some(Image::Ready { interpreter, .. }) = self.images.get(&space) {
            python_code::hear_of_freed(kernel, modules, thread, interpreter);
            objects.hear_again_of_pools(kernel, modules, thread);
        }
        Ok(())
    }

    /// Takes a code object from its copy. Frames of it follow.
    pub(super) fn keep(&mut self, code: NewCode) {
        let NewCode { space, copy } = code;
        if let Some(Image::Ready { interpreter, names }) = self.images.get_mut(&space.0) {
            names.keep(interpreter, &copy);
        }
    }

    /// Reads what these frames are called, where that is not known. To be called as soon as they are heard of.
    pub(super) fn learn(&mut self, space: Space, frames: &[PythonFrame]) {
        let Some(Image::Ready { interpreter, names }) = self.images.get_mut(&space.0) else {
            return;
        };
        // Of code that could not be read then, what is there now may be another's.
        for &frame in frames.iter().filter(|frame| frame.checksum != 0) {
            self.frames.add(space, frame, || names.frame(interpreter, &frame));
        }
    }

    /// Says what could not be named.
    pub(super) fn tell(&self) {
        for image in self.images.values() {
            let Image::Ready { names, .. } = image else { continue };
            let Unnamed { stale, unreadable, left_out, without_lines } = names.unnamed();
            for (count, why) in [
                (stale, "were freed before their names could be read"),
                (unreadable, "could not be read"),
                (left_out, "are beyond the most that are kept"),
            ] {
                if count > 0 {
                    tracing::warn!("{count} of Python's code objects {why}");
                }
            }
            if without_lines > 0 {
                tracing::debug!(
                    "{without_lines} of Python's code objects have a line table that is too long, or was freed, and are shown \
                     without lines"
                );
            }
        }
    }

    /// The number of a frame that was learned.
    pub(super) fn id(&self, space: Space, frame: PythonFrame) -> PythonFrameId {
        self.frames.id(space, frame).unwrap_or(UNKNOWN)
    }

    /// The id that a stack with Python's frames goes by; `None` for one that has none, and for one that may yet be unwound
    /// further.
    pub(super) fn merged_id(
        &self,
        key: StackKey,
        stack: &KnownStack,
        modules: &Modules,
    ) -> Option<StackKey> {
        use UnwindStatus::{TablePending, UnknownCode, UnsupportedRule};
        let may_go_on = matches!(stack.status, UnknownCode | TablePending | UnsupportedRule);
        if may_go_on || stack.python.is_none() {
            return None;
        }
        let id = merged::id(key.space, stack, key.stack, &self.frames, modules, self.native_frames);
        Some(StackKey { space: key.space, stack: id })
    }
}

impl Recorder {
    /// An interpreter is ready. Under `exec` the target stands still.
    pub(super) fn python_starts(&mut self) -> Result<(), SessionError> {
        let refreshed = self.refresh();
        if self.holds.at_images { self.go_on(refreshed) } else { refreshed }
    }
}
