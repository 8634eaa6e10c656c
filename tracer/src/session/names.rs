//! Names for stacks: symbolized in batches, once each, when a report first needs them.

use crate::{
    analysis::{NamedStack, NamedStacks, NativeFrames},
    ledger::StackKey,
    suppressions::Suppressions,
    symbolize::{SourceRoot, Symbolizer},
    target::Process,
};

use super::recorder::Recorder;

/// The stacks named so far.
pub(super) struct Names {
    symbolizer: Symbolizer,
    pub(super) suppressions: Suppressions,
    native_frames: NativeFrames,
    pub(super) stacks: NamedStacks,
}

impl Names {
    /// Opens the way to the target's source files, while the target lives.
    pub(super) fn of(
        process: &Process,
        suppressions: Suppressions,
        native_frames: NativeFrames,
    ) -> Self {
        let root = SourceRoot::of_process(process.pid())
            .inspect_err(|error| tracing::debug!("no source lines: {error}"))
            .ok();
        Self {
            symbolizer: Symbolizer::new(root),
            suppressions,
            native_frames,
            stacks: NamedStacks::new(),
        }
    }

    /// Gives names to those of `keys` that have none. A stack that never arrived stays without.
    pub(super) fn add(&mut self, recorder: &Recorder, keys: impl IntoIterator<Item = StackKey>) {
        let missing: Vec<_> = keys
            .into_iter()
            .filter(|key| !self.stacks.contains_key(key))
            .filter_map(|key| Some((key, recorder.stacks.get(&key)?)))
            .collect();
        let locations: Vec<_> = missing.iter().map(|(_, stack)| stack.locations.clone()).collect();
        let python = |id| recorder.python.frames.get(id).cloned();
        let frames = self.symbolizer.symbolize(recorder.modules.all(), &locations, python);
        let (suppressions, native_frames) = (&self.suppressions, self.native_frames);
        let named = missing.into_iter().zip(frames);
        self.stacks.extend(named.map(|((key, stack), mut frames)| {
            // A suppression may name a frame that is not shown.
            let suppressed = suppressions.matching(&frames);
            native_frames.retain(&mut frames);
            let (unwind, python) = (stack.status.name(), stack.python_ending());
            (key, NamedStack { frames, unwind, python, suppressed })
        }));
    }
}
