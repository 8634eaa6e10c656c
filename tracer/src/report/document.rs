//! The report as data. Serialized, it is the JSON document.

use serde::Serialize;

use super::{
    ClassEntry, ClassReadings, CountedObjects, EventLedger, FileEntry, IterationBlock,
    IterationEntry, LedgerEntry, MappingsEntry, PoolsEntry, RssEntry, StabilityEntry, StackEntry,
    SuppressionEntry, Target, TotalsEntry, UnwindingEntry,
};
use crate::{gates::Outcome, ledger::RssChange};

/// Fields are only ever added within a version.
pub const SCHEMA_VERSION: u32 = 1;

/// A finished run. Every list is in its final order: the same data make the same report.
#[derive(Clone, Debug, Serialize)]
pub struct Report<'a> {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The traced process.
    pub target: &'a Target,
    /// The settings, as resolved.
    pub settings: &'a serde_json::Value,
    /// From mark to mark, oldest first.
    pub iterations: Vec<IterationEntry<'a>>,
    /// By growth, then live bytes, then id.
    pub stacks: Vec<StackEntry<'a>>,
    /// By growth, then live bytes, then name.
    pub files: Vec<FileEntry<'a>>,
    /// Growth from the baseline to the last mark.
    pub totals: TotalsEntry,
    /// RSS over the same time.
    pub rss: RssEntry,
    /// How `--until-stable` ended; `None` without it.
    pub stability: Option<StabilityEntry>,
    /// Whether the trace saw everything.
    pub ledger: LedgerEntry<'a>,
    /// How many stacks of the heap are whole.
    pub unwinding: UnwindingEntry<'a>,
    /// What the target mapped itself. In none of the figures above.
    pub mappings: MappingsEntry<'a>,
    /// How Python's objects were counted; `None` where the target is not Python.
    pub python_objects: Option<&'a CountedObjects>,
    /// Python's objects by size class, in none of the figures above; `None` where they were not read.
    pub python_classes: Option<Vec<ClassEntry>>,
    /// Between which readings their growth was taken.
    pub python_classes_read: Option<ClassReadings>,
    /// Who took memory for them, as a hint; `None` where that is not heard of.
    pub python_pools: Option<PoolsEntry<'a>>,
    /// The suppressions, in their file's order.
    pub suppressions: Vec<SuppressionEntry<'a>>,
    /// The gates that were set.
    pub gates: Vec<Outcome<'a>>,
    /// What only the text formats need.
    #[serde(skip)]
    pub(super) text: TextParts<'a>,
}

/// What the text formats show beside the document's own data.
#[derive(Clone, Debug)]
pub(super) struct TextParts<'a> {
    pub(super) top: usize,
    /// The lists for baseline → end.
    pub(super) block: IterationBlock<'a>,
    pub(super) measured: u64,
    pub(super) in_warmup: bool,
    pub(super) rss: Option<RssChange>,
    pub(super) events: &'a EventLedger,
}
