//! Closing the books: what the kernel side counted, beside what was recorded, and who is still alive.

use std::collections::{BTreeMap, HashMap};

use tracer_common::{LiveBlock, Space, StackId, Tally, TallyKind};

use super::{SessionError, recorder::Recorder};
use crate::{
    bpf::InFlight,
    ledger::StackKey,
    report::{EventLedger, Side, Survivor, Survivors},
};

/// What kernel sides counted, over all runs so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    tally: Tally,
    in_flight: InFlight,
    marks_merged: u64,
}

impl Counted {
    /// Up to now, with the earlier runs.
    ///
    /// # Errors
    ///
    /// Where the maps can't be read.
    pub(super) fn of(recorder: &Recorder) -> Result<Self, SessionError> {
        let mut sum = recorder.repeated.earlier;
        let present = recorder.kernel.tally()?;
        for (total, count) in sum.tally.counts.iter_mut().zip(present.counts) {
            *total += count;
        }
        let present = recorder.kernel.calls_in_flight()?;
        sum.in_flight.calls += present.calls;
        sum.in_flight.nested_allocs += present.nested_allocs;
        sum.in_flight.nested_frees += present.nested_frees;
        sum.marks_merged += recorder.kernel.state()?.marks_merged;
        Ok(sum)
    }
}

/// The ledger of events. Every number has two sources: the kernel side counts calls as they are entered, and
/// rows as they are recorded.
///
/// # Errors
///
/// Where the maps can't be read.
pub(super) fn events(recorder: &Recorder, attached: bool) -> Result<EventLedger, SessionError> {
    let Counted { tally, in_flight, marks_merged } = Counted::of(recorder)?;
    let (mut allocated, mut freed) = (0, 0);
    for stack in recorder.ledger.stacks() {
        allocated += stack.counts().alloc_blocks;
        freed += stack.counts().free_blocks;
    }
    let missed_frees = tally.get(TallyKind::FreeMissed);
    let nested_allocs = tally.get(TallyKind::AllocNested) + in_flight.nested_allocs;
    let nested_frees = tally.get(TallyKind::FreeNested) + in_flight.nested_frees;
    Ok(EventLedger {
        allocs: Side {
            seen: tally.get(TallyKind::AllocCalls) + nested_allocs,
            recorded: allocated,
            failed: tally.get(TallyKind::AllocFailed),
            filtered: tally.get(TallyKind::AllocFiltered),
            skipped: tally.get(TallyKind::AllocSkipped),
            pending: in_flight.calls + tally.get(TallyKind::AllocUnfinished),
            lost: BTreeMap::from([
                ("live_full", tally.get(TallyKind::AllocLiveFull)),
                ("inflight_full", tally.get(TallyKind::AllocInflightFull)),
                ("missed_return", tally.get(TallyKind::AllocMissedReturn) + nested_allocs),
                ("read_fault", tally.get(TallyKind::AllocReadFault)),
            ]),
        },
        frees: Side {
            // A free that was missed happened all the same; its block was written off when its address came
            // back.
            seen: tally.get(TallyKind::FreeCalls) + missed_frees + nested_frees,
            recorded: freed.saturating_sub(missed_frees),
            lost: BTreeMap::from([
                ("unknown_free", tally.get(TallyKind::FreeUnknown)),
                ("missed_free", missed_frees),
                ("missed_return", nested_frees),
            ]),
            ..Side::default()
        },
        unattributed: BTreeMap::from([
            ("stack_full", tally.get(TallyKind::StackFull)),
            ("ring_full", blocks_without_stack(recorder)),
            ("malformed_event", recorder.malformed_events),
        ]),
        marks_merged,
        interruptions: recorder.interruptions,
        blocks_from_before: attached,
    })
}

/// Changes of mappings that the kernel side could not tell.
///
/// # Errors
///
/// Where the map can't be read.
pub(super) fn lost_mappings(recorder: &Recorder) -> Result<u64, SessionError> {
    Ok(Counted::of(recorder)?.tally.get(TallyKind::MapLost))
}

/// Who lives at the end, by stack and by the iteration of their birth.
///
/// # Errors
///
/// Where the live set can't be read.
pub(super) fn survivors(recorder: &Recorder) -> Result<Survivors, SessionError> {
    let mut cohorts: HashMap<(StackKey, u32), (u64, u64)> = HashMap::new();
    let space = Space(recorder.kernel.state()?.space);
    let mut add = |block: LiveBlock| {
        let born = recorder.iteration_of.get(block.born).unwrap_or(0);
        let key = recorder.final_key(StackKey { space, stack: block.stack });
        let cohort = cohorts.entry((key, born)).or_default();
        cohort.0 += 1;
        cohort.1 += block.size;
    };
    for entry in recorder.kernel.live_blocks() {
        let entry = entry?;
        // Blocks of a replaced image went with it.
        if entry.space_byte == space.0 as u8 {
            add(entry.block);
        }
    }
    recorder.kernel.blocks_in_flight()?.into_iter().for_each(add);
    let mut survivors = Survivors::new();
    for ((key, born), (blocks, bytes)) in cohorts {
        survivors.entry(key).or_default().push(Survivor { born, blocks, bytes });
    }
    Ok(survivors)
}

/// Blocks whose stack did not fit into the ring buffer, and was not sent again later.
fn blocks_without_stack(recorder: &Recorder) -> u64 {
    recorder
        .ledger
        .stacks()
        .filter(|stack| stack.key().stack != StackId::UNKNOWN)
        .filter(|stack| !recorder.stacks.contains_key(&stack.key()))
        .map(|stack| stack.counts().alloc_blocks)
        .sum()
}
