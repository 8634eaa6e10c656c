//! Python in the target: finding its interpreter, and reading what its frames are called while they live.

use super::{SessionError, recorder::Recorder};

/// Entered once in the life of `python`, when its interpreter is ready and nothing of the program has run.
pub(super) const START: &str = "Py_RunMain";

impl Recorder {
    /// An interpreter is ready. Under `exec` the target stands still.
    pub(super) fn python_starts(&mut self) -> Result<(), SessionError> {
        let looked = self.refresh();
        if self.holds_images { self.go_on(looked) } else { looked }
    }
}
