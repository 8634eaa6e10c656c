//! The rule. docs/ci.md says it in words.

use std::cmp::Reverse;

use super::{Flaw, Gate, Gates, Grower, Outcome, Ruling};
use crate::compare::{Pair, Party, Recording, Share, pair};

/// What growth is an average of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// Measured iterations.
    pub measured: u64,
    /// Whether warm-up was asked for and did not end: then growth counts from the start of the trace.
    pub in_warmup: bool,
    /// Whether marks were to come and none did: then the one iteration is the whole run, tidying up included.
    pub unmarked: bool,
}

impl Basis {
    /// Why nothing can be judged, if so.
    fn flaw(self) -> Option<Flaw> {
        if self.in_warmup || self.measured == 0 {
            Some(Flaw::InWarmup)
        } else {
            self.unmarked.then_some(Flaw::Unmarked)
        }
    }
}

/// Judges a run's stacks: those that are not suppressed. One outcome for each gate that is set.
pub fn judge<'a>(
    gates: Gates,
    basis: Basis,
    run: &Party<'a>,
    baseline: Option<&'a Recording>,
) -> Vec<Outcome<'a>> {
    if gates == Gates::default() {
        return Vec::new(); // most runs have no gate, and some have 100 000 stacks
    }
    let mut excesses = excesses(basis, run, baseline);
    // Stable: what is equal stays in the pairs' own order.
    excesses.sort_by_key(|excess| Reverse(excess.scaled));
    gates.set().map(|(gate, limit)| outcome(gate, limit, basis, baseline, &excesses)).collect()
}

/// A stack's growth beyond the baseline's.
struct Excess<'a> {
    share: Share<'a>,
    /// Bytes × [`Scale`].
    scaled: i128,
}

/// The common denominator of the averages of both runs, so that no limit is missed by a rounding.
#[derive(Clone, Copy)]
struct Scale {
    run: i128,
    baseline: i128,
}

impl Scale {
    fn of(basis: Basis, baseline: Option<&Recording>) -> Self {
        let baseline = baseline.map_or(1, |recording| recording.measured.max(1));
        Self { run: i128::from(basis.measured.max(1)), baseline: i128::from(baseline) }
    }

    fn whole(self) -> i128 {
        self.run.saturating_mul(self.baseline)
    }

    fn bytes(self, scaled: i128) -> f64 {
        scaled as f64 / self.whole() as f64
    }
}

fn excesses<'a>(basis: Basis, run: &Party<'a>, baseline: Option<&'a Recording>) -> Vec<Excess<'a>> {
    let scale = Scale::of(basis, baseline);
    let before = baseline.map(Recording::party).unwrap_or_default();
    let pairs = pair(&before, run);
    pairs.into_iter().filter_map(|pair| excess(scale, pair)).collect()
}

/// What shrank has no excess to hide growth behind, unless the growth is elsewhere in the same run: only growth that the
/// baseline had as well is taken off.
fn excess(scale: Scale, pair: Pair<'_>) -> Option<Excess<'_>> {
    let share = pair.after?;
    let growth = i128::from(share.growth.bytes).saturating_mul(scale.baseline);
    let known = pair.before.map_or(0, |before| i128::from(before.growth.bytes));
    let known = known.saturating_mul(scale.run);
    let allowed = growth.max(0).min(known.max(0));
    Some(Excess { share, scaled: growth.saturating_sub(allowed) })
}

fn outcome<'a>(
    gate: Gate,
    limit_bytes: u64,
    basis: Basis,
    baseline: Option<&Recording>,
    excesses: &[Excess<'a>],
) -> Outcome<'a> {
    let scale = Scale::of(basis, baseline);
    let limit = i128::from(limit_bytes).saturating_mul(scale.whole());
    let (judged, listed_above) = match gate {
        Gate::Total => (excesses.iter().fold(0_i128, |sum, e| sum.saturating_add(e.scaled)), 0),
        Gate::PerStack => (excesses.first().map_or(0, |worst| worst.scaled.max(0)), limit),
    };
    let growers = excesses.iter().filter(|excess| excess.scaled > listed_above);
    Outcome {
        gate,
        limit_bytes,
        bytes_per_iteration: scale.bytes(judged),
        beyond_baseline: baseline.is_some(),
        iterations: basis.measured,
        result: match () {
            () if basis.flaw().is_some() => Ruling::Undecided,
            () if judged > limit => Ruling::Tripped,
            () => Ruling::Passed,
        },
        flaw: basis.flaw(),
        growers: growers
            .map(|excess| Grower {
                stack: excess.share.most,
                bytes_per_iteration: scale.bytes(excess.scaled),
            })
            .collect(),
    }
}
