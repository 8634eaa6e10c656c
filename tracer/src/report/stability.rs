//! How `--until-stable` ended.

use serde::Serialize;

use super::{Inputs, Report, page::Page, size::counted};
use crate::analysis::{FEWEST_TO_BE_STABLE, is_stable, still_growing};

/// `stability`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct StabilityEntry {
    pub stable: Option<bool>,
    pub iterations: u64,
    pub growers: Vec<String>,
}

impl StabilityEntry {
    pub(super) fn new(inputs: &Inputs<'_>) -> Option<Self> {
        let ledger = inputs.ledger;
        let growers = still_growing(ledger);
        inputs.until_stable.then(|| Self {
            stable: is_stable(ledger),
            iterations: ledger.measured(),
            growers: growers.iter().map(|key| format!("{:#018x}", key.stack.0)).collect(),
        })
    }
}

/// Whether it became stable, and what still grew if not.
pub(super) fn write(report: &Report<'_>, prefix: &str, page: &mut Page) {
    let Some(stability) = &report.stability else { return };
    let after = counted(stability.iterations, "measured iteration");
    match stability.stable {
        None => page.line(format_args!(
            "{prefix}Stable or not: not enough iterations to tell ({after}, {FEWEST_TO_BE_STABLE} are needed)"
        )),
        Some(true) => page.line(format_args!(
            "{prefix}Stable after {after}: no stack grew in both of the last two"
        )),
        Some(false) => {
            let growers = counted(stability.growers.len() as u64, "stack");
            page.styled(
                page.palette.grew,
                format_args!(
                    "{prefix}Not stable after {after}: {growers} grew in both of the last two"
                ),
            );
            let growing =
                report.stacks.iter().filter(|stack| stability.growers.contains(&stack.id));
            for stack in growing.take(report.text.top) {
                page.line(format_args!("{prefix}  {} at {}", stack.id, stack.place.brief()));
            }
        }
    }
}
