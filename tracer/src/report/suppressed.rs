//! What was left out of the lists of growth because somebody knows of it.

use serde::Serialize;

use super::{
    Report, StackEntry,
    size::{counted, signed_size},
};
use crate::suppressions::Suppression;

/// One of `suppressions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct SuppressionEntry<'a> {
    pub pattern: &'a str,
    pub line: u32,
    pub stacks: u64,
    pub growth_bytes: i64,
    pub live_bytes: i64,
}

impl<'a> SuppressionEntry<'a> {
    /// One for each suppression, in order, with the stacks that it was the first to match.
    pub(super) fn all(suppressions: &'a [Suppression], stacks: &[StackEntry<'a>]) -> Vec<Self> {
        let mut entries: Vec<_> = suppressions
            .iter()
            .map(|Suppression { pattern, line }| Self {
                pattern: pattern.text(),
                line: *line,
                stacks: 0,
                growth_bytes: 0,
                live_bytes: 0,
            })
            .collect();
        for stack in stacks {
            let Some(pattern) = stack.suppressed else { continue };
            if let Some(entry) = entries.iter_mut().find(|entry| entry.pattern == pattern) {
                entry.stacks += 1;
                entry.growth_bytes = entry.growth_bytes.saturating_add(stack.growth_bytes);
                entry.live_bytes = entry.live_bytes.saturating_add(stack.live_bytes);
            }
        }
        entries
    }
}

impl<'a> Report<'a> {
    /// The stacks that lists of growth are made of.
    pub(super) fn unsuppressed(&self) -> impl Iterator<Item = &StackEntry<'a>> {
        self.stacks.iter().filter(|stack| stack.suppressed.is_none())
    }
}

/// `suppressed: 3 stacks with +1.2 MiB of growth, which the totals contain (2 stacks by fill, 1 by libfoo.so)`. `None`
/// without suppressions.
pub(super) fn suppressed_line(entries: &[SuppressionEntry<'_>]) -> Option<String> {
    if entries.is_empty() {
        return None;
    }
    let (used, idle): (Vec<&SuppressionEntry<'_>>, Vec<_>) =
        entries.iter().partition(|entry| entry.stacks > 0);
    let growth = used.iter().fold(0_i64, |sum, entry| sum.saturating_add(entry.growth_bytes));
    let stacks = counted(used.iter().map(|entry| entry.stacks).sum(), "stack");
    let mut parts: Vec<_> =
        used.iter().map(|entry| format!("{} by {}", entry.stacks, entry.pattern)).collect();
    if !idle.is_empty() {
        parts.push(format!("{} matched nothing", counted(idle.len() as u64, "pattern")));
    }
    let growth = signed_size(growth);
    let parts = parts.join(", ");
    Some(format!(
        "suppressed: {stacks} with {growth} of growth, which the totals contain ({parts})"
    ))
}
