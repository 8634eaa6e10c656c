//! A gate's ruling, in one line.

use super::{
    short::cut,
    size::{counted, signed_size, size},
};
use crate::gates::{Flaw, Outcome, Ruling};

/// Callers that are named beside a line.
const CALLERS: usize = 4;

/// Which gate it is, what grew by how much, and what is allowed; where it tripped, the line that grew most.
pub fn gate_line(outcome: &Outcome<'_>) -> String {
    let option = outcome.gate.option();
    if let Some(flaw) = outcome.flaw {
        return format!("gate {option} can't be judged: {}", reason(flaw));
    }
    let limit = outcome.limit_bytes;
    let beyond = if outcome.beyond_baseline { " beyond the baseline" } else { "" };
    let figures = format!(
        "{} per iteration{beyond}, over {}; the limit is {}",
        rate(outcome.bytes_per_iteration, limit),
        counted(outcome.iterations, "iteration"),
        size(i64::try_from(limit).unwrap_or(i64::MAX)),
    );
    if outcome.result == Ruling::Passed {
        return format!("gate {option} passed: {figures}");
    }
    let worst = outcome.worst_line().map(|(place, bytes)| {
        let at = outcome.growers.iter().find(|g| g.stack.place().without_source() == place);
        let callers = at.and_then(|grower| grower.stack.callers(CALLERS));
        let callers = callers.map(|names| format!(", in {}", cut(&names))).unwrap_or_default();
        format!(": most by {}{callers}, with {}", place.brief(), rate(bytes, limit))
    });
    format!("gate {option} tripped: {figures}{}", worst.unwrap_or_default())
}

fn reason(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::InWarmup => {
            "no iteration was measured, because warm-up did not end; run for longer, or with a smaller --warmup"
        }
        Flaw::Unmarked => {
            "no mark came, so no iteration was measured; run for longer, or check what makes the marks"
        }
    }
}

/// With a sign. As a size, unless that would look like the limit and isn't.
fn rate(bytes: f64, limit: u64) -> String {
    let rounded = bytes.round() as i64;
    let looks_alike = size(rounded) == size(i64::try_from(limit).unwrap_or(i64::MAX));
    if looks_alike && bytes.to_bits() != (limit as f64).to_bits() {
        return format!("{bytes:+.1} B");
    }
    signed_size(rounded)
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn what_is_above_the_limit_looks_so() {
        assert_eq!(rate(1024.0, 1024), "+1.0 KiB");
        assert_eq!(rate(1024.2, 1024), "+1024.2 B");
        assert_eq!(rate(100.4, 100), "+100.4 B");
        assert_eq!(rate(2048.0, 1024), "+2.0 KiB");
        assert_eq!(rate(-3.2, 1024), "-3 B");
    }
}
