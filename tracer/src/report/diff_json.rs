//! A comparison of two runs, for programs. docs/diff.md describes the fields.

use serde::Serialize;

use super::{SCHEMA_VERSION, stack_entry::frames};
use crate::{
    compare::{Change, Diff, DiffSide, Filter, Share},
    symbolize::Frame,
};

/// One JSON document on one line: at most `top` stacks for each list of the filter.
pub fn diff_json(diff: &Diff<'_>, filter: Filter, top: usize) -> Vec<u8> {
    let lists = diff.lists(filter);
    let document = Document {
        schema_version: SCHEMA_VERSION,
        before: Side::of(&diff.before),
        after: Side::of(&diff.after),
        different_settings: &diff.different_settings,
        increased: diff.increased.len(),
        decreased: diff.decreased.len(),
        unchanged: diff.unchanged.len(),
        suppressed: diff.suppressed,
        stacks: lists.iter().flat_map(|list| list.iter().take(top)).map(Row::of).collect(),
    };
    // Writing to memory can't fail, and no map of the document has keys other than strings.
    let mut bytes = serde_json::to_vec(&document).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    before: Side<'a>,
    after: Side<'a>,
    different_settings: &'a [&'static str],
    increased: usize,
    decreased: usize,
    unchanged: usize,
    suppressed: u64,
    stacks: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Side<'a> {
    file: String,
    command: &'a [String],
    measured_iterations: u64,
    complete: bool,
    bytes_per_iteration: f64,
}

impl<'a> Side<'a> {
    fn of(side: &DiffSide<'a>) -> Self {
        let recording = side.recording;
        Self {
            file: recording.path.to_string_lossy().into_owned(),
            command: &recording.command,
            measured_iterations: recording.measured,
            complete: recording.complete,
            bytes_per_iteration: side.bytes_per_iteration,
        }
    }
}

#[derive(Serialize)]
struct Row<'a> {
    change_bytes_per_iteration: f64,
    before: Option<InRun<'a>>,
    after: Option<InRun<'a>>,
    responsible: Option<usize>,
    #[serde(serialize_with = "frames")]
    frames: &'a [Frame],
}

impl<'a> Row<'a> {
    fn of(change: &Change<'a>) -> Self {
        let stack = change.pair.most();
        Self {
            change_bytes_per_iteration: change.after - change.before,
            before: change.pair.before.map(|share| InRun::of(share, change.before)),
            after: change.pair.after.map(|share| InRun::of(share, change.after)),
            responsible: stack.responsible,
            frames: stack.frames,
        }
    }
}

#[derive(Serialize)]
struct InRun<'a> {
    bytes_per_iteration: f64,
    growth_bytes: i64,
    growth_blocks: i64,
    verdict: &'a str,
}

impl<'a> InRun<'a> {
    fn of(share: Share<'a>, bytes_per_iteration: f64) -> Self {
        Self {
            bytes_per_iteration,
            growth_bytes: share.growth.bytes,
            growth_blocks: share.growth.blocks,
            verdict: share.most.verdict,
        }
    }
}
