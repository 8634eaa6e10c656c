//! When a recording has enough iterations. Asked by the recorder after each one.

use crate::{
    analysis::is_stable,
    cli::TraceConfig,
    ledger::{Iteration, Ledger},
};

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    /// Measured iterations; with `until_stable` as many at most.
    wanted: u64,
    warmup: usize,
    pub(super) until_stable: bool,
}

impl Goal {
    /// As on the command line.
    pub(super) fn of(config: &TraceConfig) -> Self {
        Self {
            wanted: config.iterations.unwrap_or(u64::MAX),
            warmup: config.warmup,
            until_stable: config.until_stable,
        }
    }

    /// An iteration was booked: if it made the target stable, no further one is wanted.
    pub(super) fn booked(&mut self, ledger: &Ledger) {
        let is_measured = ledger.last().is_some_and(Iteration::measured);
        if self.until_stable && is_measured && is_stable(ledger) == Some(true) {
            self.wanted = self.wanted.min(ledger.measured());
        }
    }

    /// Whether all iterations that were asked for are there.
    pub(super) fn is_reached(&self, ledger: &Ledger) -> bool {
        ledger.measured() >= self.wanted
    }

    /// Whether the next mark ends the last iteration that was asked for.
    pub(super) fn is_next_last(&self, ledger: &Ledger) -> bool {
        ledger.measured() + 1 >= self.wanted && !ledger.in_warmup()
    }

    /// Whether the next mark, the `number`th, is one that growth is counted from or to, as far as that is known.
    pub(super) fn is_decisive(&self, ledger: &Ledger, number: u32) -> bool {
        let is_baseline = ledger.in_warmup() && number as usize == self.warmup;
        is_baseline || ledger.measured() + 1 >= self.wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{
        Plan,
        samples::{counts, ending, epoch, key},
    };

    fn goal(wanted: u64, until_stable: bool) -> Goal {
        Goal { wanted, warmup: 1, until_stable }
    }

    fn after(goal: &mut Goal, nets: &[u64]) -> Ledger {
        let mut ledger = Ledger::new(Plan { warmup: 1, ..Plan::default() });
        for net in nets {
            ledger.push(epoch(vec![(key(1), counts((*net, 1), (0, 0)))]));
            goal.booked(&ledger);
        }
        ledger
    }

    #[test]
    fn a_number_of_iterations() {
        let mut goal = goal(2, false);
        let ledger = after(&mut goal, &[0, 0]);
        assert!(!goal.is_reached(&ledger) && goal.is_decisive(&ledger, 3));
        let ledger = after(&mut goal, &[0, 0, 0]);
        assert!(goal.is_reached(&ledger));
    }

    #[test]
    fn the_end_of_warm_up_is_decisive() {
        let ledger = Ledger::new(Plan { warmup: 2, ..Plan::default() });
        let goal = Goal { warmup: 2, ..goal(9, false) };
        assert_eq!([1, 2, 3].map(|number| goal.is_decisive(&ledger, number)), [false, true, false]);
    }

    #[test]
    fn stable_or_as_many_as_are_wanted() {
        let mut stable = goal(9, true);
        let mut ledger = after(&mut stable, &[5, 5, 5]);
        assert!(!stable.is_reached(&ledger), "it grew twice");
        ledger.push(ending(vec![]));
        stable.booked(&ledger);
        assert!(!stable.is_reached(&ledger), "what follows the last mark is no iteration");
        let mut stable = goal(9, true);
        let ledger = after(&mut stable, &[5, 5, 5, 0]);
        assert!(stable.is_reached(&ledger));
        let mut limited = goal(2, true);
        let ledger = after(&mut limited, &[5, 5, 5]);
        assert!(limited.is_reached(&ledger));
    }
}
