//! What is allowed.

use serde::Serialize;

/// What a limit is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Gate {
    /// The net growth of the whole target.
    #[serde(rename = "fail-on-growth")]
    Total,
    /// The growth of any one stack.
    #[serde(rename = "fail-on-growth-per-stack")]
    PerStack,
}

/// The limits of a run, in bytes per measured iteration; growth above one trips its gate. `None`: no such gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// For the whole target.
    pub total: Option<u64>,
    /// For each stack.
    pub per_stack: Option<u64>,
}

impl Gate {
    /// The option that sets it.
    pub const fn option(self) -> &'static str {
        match self {
            Self::Total => "--fail-on-growth",
            Self::PerStack => "--fail-on-growth-per-stack",
        }
    }
}

impl Gates {
    /// Those that are set.
    pub fn set(self) -> impl Iterator<Item = (Gate, u64)> {
        let total = self.total.map(|limit| (Gate::Total, limit));
        total.into_iter().chain(self.per_stack.map(|limit| (Gate::PerStack, limit)))
    }
}
