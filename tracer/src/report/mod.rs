//! What is printed: the `--debug` report, the short one and the JSON document.
//!
//! The run loop calls [`debug_iteration`] after each iteration under `--debug`, and at the end builds one
//! [`Report`], from which each format makes its bytes. Pure.

mod block;
mod build;
mod closing;
mod detailed;
mod diff_json;
mod diff_text;
mod document;
mod entries;
mod events;
mod gate_line;
mod inputs;
mod json;
mod junit;
mod loss;
mod mappings;
mod page;
mod palette;
mod python_classes;
mod python_objects;
mod python_pools;
mod short;
mod size;
mod stability;
mod stack_entry;
mod summary;
mod suppressed;
mod tables;
mod temporary;
mod unwinding;
mod verdicts;
mod whole;

#[cfg(test)]
mod diff_tests;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod judged_tests;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod scale_tests;

pub use block::{GrowthPart, IterationBlock, debug_iteration, stacks_of_interest};
pub use detailed::detailed;
pub use diff_json::diff_json;
pub use diff_text::diff_text;
pub use document::{Report, SCHEMA_VERSION};
pub use entries::{
    FileEntry, IterationEntry, LedgerEntry, RssEntry, RssParts, SideEntry, TotalsEntry,
};
pub use events::{EventLedger, Side};
pub use gate_line::gate_line;
pub use inputs::{Inputs, Judging, Survivor, Survivors, Target};
pub use json::json;
pub use junit::{junit, junit_unfinished};
pub use loss::closing_line;
pub use mappings::{
    BornBytes, MappedStackEntry, MappingInputs, MappingStep, MappingsEntry, stacks_of_mappings,
};
pub use palette::Palette;
pub use python_classes::{ClassEntry, ClassReadings, ClassStep};
pub use python_objects::CountedObjects;
pub use python_pools::{PoolInputs, PoolLine, PoolTaker, PoolsEntry};
pub use short::short;
pub use size::{mib, signed_size, size};
pub use stability::StabilityEntry;
pub use stack_entry::StackEntry;
pub use summary::summary;
pub use suppressed::SuppressionEntry;
pub use unwinding::{Endings, UnwindingEntry};
