//! What came of a gate.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Gate;
use crate::{analysis::Place, compare::Member};

/// Whether a run may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    /// Growth is within the limit.
    Passed,
    /// Growth is above it.
    Tripped,
    /// There is nothing to judge: no iteration was measured from mark to mark.
    Undecided,
}

/// Why there is nothing to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Warm-up did not end.
    InWarmup,
    /// No mark came.
    Unmarked,
}

/// A gate and its ruling.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome<'a> {
    /// Which gate.
    pub gate: Gate,
    /// What is allowed, in bytes per iteration.
    pub limit_bytes: u64,
    /// The growth that was judged: of the whole target, or of the stack that grew most; beyond the baseline's,
    /// where there is one.
    pub bytes_per_iteration: f64,
    /// Whether a baseline's growth was taken off.
    pub beyond_baseline: bool,
    /// Measured iterations that this is the average of.
    pub iterations: u64,
    /// The ruling.
    pub result: Ruling,
    /// Why it is undecided, if it is.
    #[serde(skip)]
    pub flaw: Option<Flaw>,
    /// What grew, most first: for [`Gate::PerStack`] only what is above the limit.
    #[serde(skip)]
    pub growers: Vec<Grower<'a>>,
}

/// A stack that grew beyond its baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grower<'a> {
    /// The stack.
    pub stack: Member<'a>,
    /// How much, in bytes per measured iteration.
    pub bytes_per_iteration: f64,
}

impl<'a> Outcome<'a> {
    /// The line that grew most, all its stacks together, and how much that is in bytes per iteration.
    pub fn worst_line(&self) -> Option<(Place<'a>, f64)> {
        let mut lines: BTreeMap<Place<'a>, f64> = BTreeMap::new();
        for grower in &self.growers {
            let line = grower.stack.place().without_source();
            *lines.entry(line).or_default() += grower.bytes_per_iteration;
        }
        lines.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))
    }
}
