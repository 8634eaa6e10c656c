//! Which native frames of a Python program's stack are of interest.

use super::module_kind;
use crate::symbolize::{Frame, Language};

/// Native frames to show in stacks that have Python's. Others are shown as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeFrames {
    /// Each.
    All,
    /// Those that are not the interpreter's own.
    Mixed,
    /// None.
    PythonOnly,
}

impl NativeFrames {
    /// Whether a native frame in this object is shown beside Python's.
    pub fn shows(self, module: &str) -> bool {
        match self {
            Self::All => true,
            Self::Mixed => !module_kind::is_interpreter(module),
            Self::PythonOnly => false,
        }
    }

    /// Takes out what is not to be shown.
    pub fn retain(self, frames: &mut Vec<Frame>) {
        let is_python = |frame: &Frame| frame.language == Language::Python;
        if !frames.iter().any(is_python) {
            return;
        }
        frames.retain(|frame| is_python(frame) || self.shows(&frame.module));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::samples::{frame, within};

    fn names(choice: NativeFrames, mut frames: Vec<Frame>) -> Vec<String> {
        choice.retain(&mut frames);
        frames.into_iter().filter_map(|frame| frame.function).collect()
    }

    #[test]
    fn the_interpreter_is_hidden_around_its_frames() {
        let line = Frame { language: Language::Python, ..within("[python]", "handle") };
        let stack = vec![
            within("/usr/lib/libsqlite3.so.0", "sqlite3_step"),
            within("/usr/lib/libpython3.11.so.1.0", "_PyEval_EvalFrameDefault"),
            line,
            within("/usr/bin/python3.11", "main"),
        ];
        assert_eq!(names(NativeFrames::All, stack.clone()).len(), 4);
        assert_eq!(names(NativeFrames::Mixed, stack.clone()), ["sqlite3_step", "handle"]);
        assert_eq!(names(NativeFrames::PythonOnly, stack), ["handle"]);
    }

    #[test]
    fn without_a_frame_of_pythons_nothing_is_hidden() {
        let stack = vec![frame("a"), within("/usr/bin/python3.11", "main")];
        for choice in [NativeFrames::All, NativeFrames::Mixed, NativeFrames::PythonOnly] {
            assert_eq!(names(choice, stack.clone()), ["a", "main"]);
        }
    }
}
