//! One of `stacks` in the JSON document.

use serde::{Serialize, Serializer, ser::SerializeSeq};

use tracer_common::Domain;

use super::Survivor;
use crate::{
    analysis::{Place, Verdict},
    compare::Member,
    ledger::{Amount, Point, Series, StackKey},
    symbolize::{Frame, Language},
};

/// A stack with its numbers and its names. Field names are the schema; `docs/json.md` explains them.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct StackEntry<'a> {
    pub id: String,
    pub space: u32,
    pub domain: &'static str,
    pub verdict: Verdict,
    pub bytes_per_iteration: f64,
    pub live_bytes: i64,
    pub live_blocks: i64,
    pub growth_bytes: i64,
    pub growth_blocks: i64,
    pub alloc_bytes: u64,
    pub alloc_blocks: u64,
    pub temporary_bytes: u64,
    pub temporary_blocks: u64,
    pub unwind: &'a str,
    pub python_unwind: Option<&'a str>,
    /// The suppression that matches it.
    pub suppressed: Option<&'a str>,
    /// The position of the responsible frame.
    pub responsible: Option<usize>,
    pub per_iteration: PerIteration<'a>,
    pub survivors: Vec<Survivor>,
    #[serde(serialize_with = "frames")]
    pub frames: &'a [Frame],
    #[serde(skip)]
    pub(super) key: StackKey,
    #[serde(skip)]
    pub(super) place: Place<'a>,
}

impl<'a> StackEntry<'a> {
    /// As comparisons see it.
    pub(super) fn member(&self) -> Member<'a> {
        Member {
            frames: self.frames,
            responsible: self.responsible,
            growth: self.growth(),
            verdict: self.verdict.name(),
            suppressed: self.suppressed.is_some(),
        }
    }

    /// Whether its blocks are Python's objects.
    pub(super) fn is_of_python(&self) -> bool {
        self.key.stack.domain() == Domain::Python
    }

    pub(super) fn growth(&self) -> Amount {
        Amount { bytes: self.growth_bytes, blocks: self.growth_blocks }
    }

    pub(super) fn temporary(&self) -> Amount {
        let signed = |count| i64::try_from(count).unwrap_or(i64::MAX);
        Amount { bytes: signed(self.temporary_bytes), blocks: signed(self.temporary_blocks) }
    }

    pub(super) fn live(&self) -> Amount {
        Amount { bytes: self.live_bytes, blocks: self.live_blocks }
    }
}

/// A sparse series that is written with an entry for each of `entries` iterations.
#[derive(Clone, Copy, Debug)]
pub struct PerIteration<'a> {
    pub(super) entries: usize,
    pub(super) series: &'a Series,
}

impl Serialize for PerIteration<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.entries))?;
        let mut points = self.series.points().iter().peekable();
        for entry in 0..self.entries {
            let point = points.next_if(|point| point.entry as usize == entry);
            sequence.serialize_element(&Step::from(point.copied().unwrap_or_default()))?;
        }
        sequence.end()
    }
}

#[derive(Serialize)]
struct Step {
    net_bytes: i64,
    net_blocks: i64,
    alloc_bytes: u64,
    alloc_blocks: u64,
}

impl From<Point> for Step {
    fn from(point: Point) -> Self {
        Self {
            net_bytes: point.net.bytes,
            net_blocks: point.net.blocks,
            alloc_bytes: point.alloc_bytes,
            alloc_blocks: point.alloc_blocks,
        }
    }
}

#[derive(Serialize)]
struct FrameEntry<'a> {
    function: Option<&'a str>,
    module: &'a str,
    address: String,
    offset: u64,
    file: Option<&'a str>,
    line: Option<u32>,
    source: Option<&'a str>,
    inlined: bool,
    language: Language,
}

/// Frames as the document has them.
pub(super) fn frames<S: Serializer>(frames: &[Frame], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(frames.iter().map(|frame| FrameEntry {
        function: frame.function.as_deref(),
        module: &frame.module,
        address: format!("{:#x}", frame.address),
        offset: frame.offset,
        file: frame.file.as_deref(),
        line: frame.line,
        source: frame.source.as_deref(),
        inlined: frame.inlined,
        language: frame.language,
    }))
}
