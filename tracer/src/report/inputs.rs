//! What a report is made of.

use std::collections::HashMap;

use serde::Serialize;

use super::{CountedObjects, EventLedger, MappingInputs, PoolInputs};
use crate::{
    analysis::NamedStacks,
    compare::Recording,
    gates::Gates,
    ledger::{Ledger, StackKey},
    suppressions::Suppression,
};

/// The traced process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Its process id.
    pub pid: u32,
    /// Its command line.
    pub command: Vec<String>,
    /// Its exit status (128 + n for signal n), if it ended within the trace.
    pub exit_status: Option<i32>,
}

/// Blocks of one stack, born in one iteration, that live at the end of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Survivor {
    /// The number of the iteration, from 1.
    pub born: u32,
    /// Blocks.
    pub blocks: u64,
    /// Bytes.
    pub bytes: u64,
}

/// The survivors of each stack, in any order.
pub type Survivors = HashMap<StackKey, Vec<Survivor>>;

/// Everything that goes into a [`super::Report`], which borrows it.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The traced process.
    pub target: &'a Target,
    /// The settings as resolved, as they are to stand in the JSON document.
    pub settings: &'a serde_json::Value,
    /// Rows per list of the text reports.
    pub top: usize,
    /// Whether the run was to go on until nothing grows.
    pub until_stable: bool,
    /// The books.
    pub ledger: &'a Ledger,
    /// The names of all stacks in the ledger; what is missing is shown as the unknown stack.
    pub stacks: &'a NamedStacks,
    /// Live blocks by birth.
    pub survivors: &'a Survivors,
    /// Whether the trace saw everything.
    pub events: &'a EventLedger,
    /// The second domain.
    pub mappings: MappingInputs<'a>,
    /// How Python's objects were counted; `None` where the target is not Python.
    pub python_objects: Option<&'a CountedObjects>,
    /// Who took pools for them; `None` where that was not heard of.
    pub python_pools: Option<&'a PoolInputs>,
    /// What is to be made of growth.
    pub judging: Judging<'a>,
}

/// What is to be made of growth. By default it is reported, and that is all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judging<'a> {
    /// The suppressions that [`crate::analysis::NamedStack::suppressed`] counts through.
    pub suppressions: &'a [Suppression],
    /// Limits on growth.
    pub gates: Gates,
    /// Whether something was to make marks; without marks, gates then judge nothing.
    pub marks_expected: bool,
    /// The run whose growth is allowed.
    pub baseline: Option<&'a Recording>,
}
