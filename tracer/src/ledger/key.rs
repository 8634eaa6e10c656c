//! What the books are kept by.

use tracer_common::{Space, StackId};

/// A call stack within the address space that it was seen in: the same addresses mean something else
/// after an `execve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackKey {
    /// The address space.
    pub space: Space,
    /// The stack; [`StackId::UNKNOWN`] for what was recorded without one.
    pub stack: StackId,
}

impl StackKey {
    /// Whether this is the row of what was recorded without a stack.
    pub fn is_unknown(self) -> bool {
        self.stack == StackId::UNKNOWN
    }
}
