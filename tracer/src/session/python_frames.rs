//! Frames of Python's as reports show them, each once: of all images and runs.

use std::{collections::HashMap, sync::Arc};

use tracer_common::{PythonFrame, Space, StackHash};

use crate::{symbolize::Frame, target::PythonFrameId};

/// The table of them.
#[derive(Debug, Default)]
pub(super) struct PythonFrames {
    all: Vec<Arc<Frame>>,
    ids: HashMap<Arc<Frame>, PythonFrameId>,
    /// What the kernel side calls them, in the present run.
    known: HashMap<(Space, PythonFrame), PythonFrameId>,
}

impl PythonFrames {
    /// Its number; `named` says what it reads like, if it was not heard of before.
    pub(super) fn add(
        &mut self,
        space: Space,
        frame: PythonFrame,
        named: impl FnOnce() -> Frame,
    ) -> PythonFrameId {
        if let Some(id) = self.known.get(&(space, frame)) {
            return *id;
        }
        let named = Arc::new(named());
        let next = PythonFrameId(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        let id = *self.ids.entry(Arc::clone(&named)).or_insert(next);
        if id == next {
            self.all.push(named);
        }
        self.known.insert((space, frame), id);
        id
    }

    /// Its number; `None` for one that was never heard of.
    pub(super) fn id(&self, space: Space, frame: PythonFrame) -> Option<PythonFrameId> {
        self.known.get(&(space, frame)).copied()
    }

    /// What it reads like.
    pub(super) fn get(&self, id: PythonFrameId) -> Option<&Frame> {
        self.all.get(id.0 as usize).map(Arc::as_ref)
    }

    /// A number that is the same in each run for what reads the same.
    pub(super) fn hash(&self, id: PythonFrameId) -> u64 {
        let Some(frame) = self.get(id) else { return u64::from(id.0) };
        let text = |hash: StackHash, text: Option<&String>| {
            let chunks = text.map_or(&[][..], |text| text.as_bytes()).chunks(8);
            let word = |chunk: &[u8]| {
                let mut bytes = [0; 8];
                bytes[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(bytes)
            };
            let length = text.map_or(0, String::len) as u64;
            chunks.fold(hash.with(length), |hash, chunk| hash.with(word(chunk)))
        };
        let hash = text(StackHash(0), frame.file.as_ref());
        text(hash, frame.function.as_ref()).with(frame.line.unwrap_or(0).into()).0
    }

    /// Goes on with the table of an earlier run, whose stacks have its numbers. Nothing was added yet.
    pub(super) fn go_on_after(&mut self, earlier: &mut Self) {
        self.all = std::mem::take(&mut earlier.all);
        self.ids = std::mem::take(&mut earlier.ids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{analysis::samples, symbolize::Language};

    const SPACE: Space = Space(0);

    fn line(line: u32) -> Frame {
        Frame { language: Language::Python, ..samples::at("f", "/app.py", line) }
    }

    fn at(code: u64) -> PythonFrame {
        PythonFrame { code, checksum: 1, instruction: 2 }
    }

    #[test]
    fn what_reads_the_same_has_one_number() {
        let mut frames = PythonFrames::default();
        let first = frames.add(SPACE, at(0x10), || line(1));
        let second = frames.add(SPACE, at(0x20), || line(2));
        assert_eq!(frames.add(SPACE, at(0x30), || line(1)), first);
        assert_ne!(first, second);
        assert_eq!(frames.id(SPACE, at(0x20)), Some(second));
        assert_eq!(frames.id(Space(1), at(0x20)), None);
        assert_eq!(frames.get(second), Some(&line(2)));
    }

    #[test]
    fn a_later_run_goes_on_with_the_numbers() {
        let mut earlier = PythonFrames::default();
        let first = earlier.add(SPACE, at(0x10), || line(1));
        let hash = earlier.hash(first);
        let mut later = PythonFrames::default();
        later.go_on_after(&mut earlier);
        assert_eq!(later.id(SPACE, at(0x10)), None, "other code may be there");
        let other = later.add(SPACE, at(0x10), || line(2));
        assert_ne!(later.hash(other), hash);
        assert_eq!(later.add(SPACE, at(0x50), || line(1)), first);
        assert_eq!(later.hash(first), hash);
    }
}
