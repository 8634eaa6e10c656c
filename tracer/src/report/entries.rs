//! The smaller parts of the JSON document. Field names are the schema; `docs/json.md` explains them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{EventLedger, Side, temporary::per_second};
use crate::ledger::{Iteration, MarkTrigger, MemoryParts, RssChange, Totals};

/// One of `iterations`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct IterationEntry<'a> {
    pub index: u32,
    pub merged: u32,
    pub warmup: bool,
    pub trigger: MarkTrigger,
    pub label: Option<&'a str>,
    pub partial: bool,
    pub duration_ns: u64,
    pub alloc_bytes: u64,
    pub alloc_blocks: u64,
    pub free_bytes: u64,
    pub free_blocks: u64,
    pub exec_dropped_bytes: i64,
    pub exec_dropped_blocks: i64,
    pub live_bytes: i64,
    pub live_blocks: i64,
    pub peak_bytes: u64,
    pub rss_bytes: u64,
    pub anonymous_bytes: Option<u64>,
    pub temporary_bytes: u64,
    pub temporary_blocks: u64,
    pub alloc_bytes_per_second: Option<f64>,
    pub alloc_blocks_per_second: Option<f64>,
}

impl<'a> From<&'a Iteration> for IterationEntry<'a> {
    fn from(from: &'a Iteration) -> Self {
        Self {
            index: from.index,
            merged: from.merged,
            warmup: from.warmup,
            trigger: from.trigger,
            label: from.label.as_deref(),
            partial: from.partial,
            duration_ns: from.duration_ns,
            alloc_bytes: from.counts.alloc_bytes,
            alloc_blocks: from.counts.alloc_blocks,
            free_bytes: from.counts.free_bytes,
            free_blocks: from.counts.free_blocks,
            exec_dropped_bytes: from.dropped.bytes,
            exec_dropped_blocks: from.dropped.blocks,
            live_bytes: from.live.bytes,
            live_blocks: from.live.blocks,
            peak_bytes: from.peak_bytes,
            rss_bytes: from.rss_bytes,
            anonymous_bytes: from.anonymous_bytes,
            temporary_bytes: from.counts.temporary_bytes(),
            temporary_blocks: from.counts.temporary_blocks(),
            alloc_bytes_per_second: per_second(from.counts.alloc_bytes, from),
            alloc_blocks_per_second: per_second(from.counts.alloc_blocks, from),
        }
    }
}

/// One of `files`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct FileEntry<'a> {
    pub file: &'a str,
    pub live_bytes: i64,
    pub growth_bytes: i64,
}

/// `totals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct TotalsEntry {
    pub growth_bytes: i64,
    pub freed_bytes: i64,
    pub net_bytes: i64,
}

impl From<Totals> for TotalsEntry {
    fn from(totals: Totals) -> Self {
        Self {
            growth_bytes: totals.growth_bytes,
            freed_bytes: totals.freed_bytes,
            net_bytes: totals.net_bytes(),
        }
    }
}

/// `rss`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct RssEntry {
    pub growth_bytes: i64,
    pub explained_ratio: f64,
    pub baseline_bytes: Option<u64>,
    pub last_bytes: Option<u64>,
    pub parts: Option<RssParts>,
}

/// `rss.parts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct RssParts {
    pub from: u32,
    pub to: u32,
    pub growth_bytes: i64,
    pub heap_bytes: i64,
    pub allocator_retained_bytes: i64,
    pub mappings_bytes: i64,
    pub untraced_bytes: i64,
}

impl From<MemoryParts> for RssParts {
    fn from(parts: MemoryParts) -> Self {
        let MemoryParts { from, to, growth_bytes, heap_bytes, retained_bytes, .. } = parts;
        Self {
            from,
            to,
            growth_bytes,
            heap_bytes,
            allocator_retained_bytes: retained_bytes,
            mappings_bytes: parts.mappings_bytes,
            untraced_bytes: parts.untraced_bytes,
        }
    }
}

impl RssEntry {
    /// How much of the RSS change the traced growth of `net_bytes` explains. All 0 where RSS is not
    /// known; the ratio is 0 where RSS did not grow.
    pub fn new(rss: Option<RssChange>, net_bytes: i64, parts: Option<MemoryParts>) -> Self {
        let growth_bytes = rss.map_or(0, |rss| {
            i64::try_from(i128::from(rss.last_bytes) - i128::from(rss.baseline_bytes)).unwrap_or(0)
        });
        let explained_ratio =
            if growth_bytes > 0 { net_bytes as f64 / growth_bytes as f64 } else { 0.0 };
        Self {
            growth_bytes,
            explained_ratio,
            baseline_bytes: rss.map(|rss| rss.baseline_bytes),
            last_bytes: rss.map(|rss| rss.last_bytes),
            parts: parts.map(RssParts::from),
        }
    }
}

/// `ledger`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct LedgerEntry<'a> {
    pub complete: bool,
    pub allocs: SideEntry<'a>,
    pub frees: SideEntry<'a>,
    pub unattributed: &'a BTreeMap<&'static str, u64>,
    pub marks_merged: u64,
    pub interruptions: u64,
}

impl<'a> From<&'a EventLedger> for LedgerEntry<'a> {
    fn from(events: &'a EventLedger) -> Self {
        Self {
            complete: events.complete(),
            allocs: SideEntry::from(&events.allocs),
            frees: SideEntry::from(&events.frees),
            unattributed: &events.unattributed,
            marks_merged: events.marks_merged,
            interruptions: events.interruptions,
        }
    }
}

/// `ledger.allocs` and `ledger.frees`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct SideEntry<'a> {
    pub seen: u64,
    pub recorded: u64,
    pub failed: u64,
    pub filtered: u64,
    pub skipped: u64,
    pub pending: u64,
    pub unaccounted: i64,
    pub lost: &'a BTreeMap<&'static str, u64>,
}

impl<'a> From<&'a Side> for SideEntry<'a> {
    fn from(side: &'a Side) -> Self {
        let unaccounted = side.unaccounted();
        Self {
            seen: side.seen,
            recorded: side.recorded,
            failed: side.failed,
            filtered: side.filtered,
            skipped: side.skipped,
            pending: side.pending,
            unaccounted: i64::try_from(unaccounted).unwrap_or(if unaccounted < 0 {
                i64::MIN
            } else {
                i64::MAX
            }),
            lost: &side.lost,
        }
    }
}
