//! A stack with its names.

use std::collections::HashMap;

use crate::{ledger::StackKey, symbolize::Frame};

/// A symbolized stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedStack {
    /// From the innermost caller of the allocation function outwards; inlined functions before the one
    /// that they were inlined into.
    pub frames: Vec<Frame>,
    /// `complete`, or why the stack ends where it does.
    pub unwind: &'static str,
    /// `complete`, or why frames of Python's are missing or not in their places; `None` where there is no Python in it.
    pub python: Option<&'static str>,
    /// The position of the suppression that matches it.
    pub suppressed: Option<usize>,
}

impl NamedStack {
    /// A stack without Python that no suppression matches.
    pub fn new(frames: Vec<Frame>, unwind: &'static str) -> Self {
        Self { frames, unwind, python: None, suppressed: None }
    }
}

/// All stacks that were symbolized. A stack that is missing here is shown as the unknown one.
pub type NamedStacks = HashMap<StackKey, NamedStack>;
