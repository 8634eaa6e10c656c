//! What was lost, in words.

use super::{EventLedger, Side, events::UNKNOWN_FREE};

/// The last line of every report: `recorded N of N allocations, N of N frees, nothing lost`, or what was.
///
/// N counts the calls that should have been recorded: not those that failed, were filtered out, had not
/// returned, or freed a block from before the trace. The line before it tells of these.
pub fn closing_line(events: &EventLedger) -> String {
    let wanted = |side: &Side, expected: u64| {
        (i128::from(side.seen) - side.set_aside() - i128::from(expected)).max(0)
    };
    let losses = losses(events);
    let lost = if losses.is_empty() {
        "nothing lost".to_owned()
    } else {
        format!("incomplete: {}", losses.join("; "))
    };
    format!(
        "recorded {} of {} allocations, {} of {} frees, {lost}",
        events.allocs.recorded,
        wanted(&events.allocs, 0),
        events.frees.recorded,
        wanted(&events.frees, events.expected_unknown_frees()),
    )
}

/// Calls that were rightly left out of the closing line; `None` if there are none.
pub(super) fn set_aside_line(events: &EventLedger) -> Option<String> {
    let (allocs, frees) = (&events.allocs, &events.frees);
    let parts: Vec<String> = [
        (allocs.failed, "allocation calls that failed"),
        (allocs.filtered, "allocations outside the size filter"),
        (allocs.skipped, "allocations while recording was disabled"),
        (allocs.pending, "allocation calls that had not returned at the end"),
        (frees.filtered, "frees of filtered blocks"),
        (frees.failed, "frees that failed"),
        (frees.pending, "frees that had not returned at the end"),
        (events.expected_unknown_frees(), "frees of blocks that the trace did not see allocated"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{what}: {count}"))
    .collect();
    (!parts.is_empty()).then(|| format!("not counted: {}", parts.join(", ")))
}

/// Everything that makes the data incomplete, one part each.
fn losses(events: &EventLedger) -> Vec<String> {
    let mut losses = Vec::new();
    for (reason, &count) in &events.allocs.lost {
        push(&mut losses, count, "allocations lost", reason);
    }
    for (reason, &count) in &events.frees.lost {
        let expected = if *reason == UNKNOWN_FREE { events.expected_unknown_frees() } else { 0 };
        push(&mut losses, count.saturating_sub(expected), "frees lost", reason);
    }
    for (reason, &count) in &events.unattributed {
        push(&mut losses, count, "events on the unknown stack", reason);
    }
    if events.marks_merged > 0 {
        losses.push(format!(
            "marks that came too fast to start an iteration: {}",
            events.marks_merged
        ));
    }
    if events.interruptions > 0 {
        losses.push(format!(
            "times that something was not seen for a moment, as probes had to be set again or were late: {}",
            events.interruptions
        ));
    }
    unbalanced(&mut losses, "allocations", &events.allocs);
    unbalanced(&mut losses, "frees", &events.frees);
    losses
}

fn push(losses: &mut Vec<String>, count: u64, what: &str, reason: &str) {
    if count > 0 {
        losses.push(format!("{what}: {count} ({})", words(reason)));
    }
}

fn unbalanced(losses: &mut Vec<String>, what: &str, side: &Side) {
    let gap = side.unaccounted();
    if gap > 0 {
        losses.push(format!("the ledger does not close: {what} not accounted for: {gap}"));
    } else if gap < 0 {
        losses.push(format!("the ledger does not close: {what} too many: {}", -gap));
    }
}

fn words(reason: &str) -> String {
    match reason {
        "live_full" => "the set of live blocks was full",
        "inflight_full" => "no room for another call in flight",
        "missed_return" => "the call never returned",
        "read_fault" => "the result could not be read",
        "unknown_free" => "the block was not known",
        "missed_free" => "noticed when the address was handed out again",
        "ring_full" => "the stack did not fit into the ring buffer",
        "stack_full" => "no room for the stack",
        other => return other.replace('_', " "),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{closing_line, set_aside_line};
    use crate::report::{EventLedger, Side};

    #[test]
    fn nothing_lost() {
        let events = EventLedger {
            allocs: Side { seen: 104, recorded: 100, failed: 3, pending: 1, ..Side::default() },
            frees: Side {
                seen: 95,
                recorded: 90,
                lost: BTreeMap::from([("unknown_free", 5)]),
                ..Side::default()
            },
            blocks_from_before: true,
            ..EventLedger::default()
        };
        assert_eq!(
            closing_line(&events),
            "recorded 100 of 100 allocations, 90 of 90 frees, nothing lost"
        );
        assert_eq!(
            set_aside_line(&events).as_deref(),
            Some(
                "not counted: allocation calls that failed: 3, allocation calls that had not \
                 returned at the end: 1, frees of blocks that the trace did not see allocated: 5"
            )
        );
        assert_eq!(set_aside_line(&EventLedger::default()), None);
    }

    #[test]
    fn every_loss_is_named() {
        let events = EventLedger {
            allocs: Side {
                seen: 100,
                recorded: 90,
                lost: BTreeMap::from([("live_full", 4), ("missed_return", 3), ("odd_one", 1)]),
                ..Side::default()
            },
            frees: Side {
                seen: 50,
                recorded: 51,
                lost: BTreeMap::from([("unknown_free", 5)]),
                ..Side::default()
            },
            unattributed: BTreeMap::from([("stack_full", 8)]),
            marks_merged: 2,
            interruptions: 1,
            blocks_from_before: false,
        };
        assert_eq!(
            closing_line(&events),
            "recorded 90 of 100 allocations, 51 of 50 frees, incomplete: \
             allocations lost: 4 (the set of live blocks was full); \
             allocations lost: 3 (the call never returned); allocations lost: 1 (odd one); \
             frees lost: 5 (the block was not known); \
             events on the unknown stack: 8 (no room for the stack); \
             marks that came too fast to start an iteration: 2; \
             times that something was not seen for a moment, as probes had to be set again or \
             were late: 1; \
             the ledger does not close: allocations not accounted for: 2; \
             the ledger does not close: frees too many: 6"
        );
    }
}
