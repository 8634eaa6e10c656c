//! What the shape of a stack's growth says.

use serde::Serialize;

use super::{cohorts::Survival, levels::Levels};

/// Fewer measured iterations than this decide nothing.
pub const FEWEST_ITERATIONS: u32 = 3;

/// The shape of a stack's growth over the measured iterations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A leak's shape: it grew throughout, and still does.
    Growing,
    /// It grew once.
    Burst,
    /// A cache that filled: it grew, and has stopped.
    Plateau,
    /// It ended lower than it began.
    Shrinking,
    /// Too few iterations, or growth that neither keeps on nor has settled.
    Undecided,
    /// It ended where it began.
    Stable,
}

impl Verdict {
    /// All of them, in the order in which reports list them.
    pub const ALL: [Self; 6] =
        [Self::Growing, Self::Burst, Self::Plateau, Self::Shrinking, Self::Undecided, Self::Stable];

    /// As in the JSON document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Growing => "growing",
            Self::Burst => "burst",
            Self::Plateau => "plateau",
            Self::Shrinking => "shrinking",
            Self::Undecided => "undecided",
            Self::Stable => "stable",
        }
    }
}

/// What the rule looks at. `docs/verdicts.md` says why it is as it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    /// Measured iterations.
    pub(super) iterations: u32,
    /// Change from the baseline to the last mark, in bytes.
    pub(super) net: i64,
    /// Sum of the iterations that grew, in bytes.
    pub(super) gains: i64,
    /// The greatest of them, in bytes.
    pub(super) largest_gain: i64,
    /// Highest live bytes at any mark.
    pub(super) highest: i64,
    /// Live bytes at the marks.
    pub(super) levels: Levels,
    /// Live blocks at the marks.
    pub(super) blocks: Levels,
    /// What became of the blocks of each iteration, if that is known.
    pub(super) survival: Option<Survival>,
    /// Whether the run ended with hardly anything of it left: then survivors tell of the ending only.
    pub(super) torn_down: bool,
}

impl Shape {
    /// The rule. The first line that holds decides.
    pub(super) fn verdict(&self) -> Verdict {
        if self.iterations < FEWEST_ITERATIONS {
            Verdict::Undecided
        } else if self.grows() {
            if self.turns_over() { Verdict::Undecided } else { Verdict::Growing }
        } else if self.hides_a_leak() {
            Verdict::Growing
        } else if self.is_level() || self.levels.came_back() {
            Verdict::Stable
        } else if self.net < 0 {
            Verdict::Shrinking
        } else if percent(self.gains.saturating_sub(self.largest_gain), 10, self.gains) {
            Verdict::Burst
        } else if self.levels.have_settled() {
            Verdict::Plateau
        } else {
            Verdict::Undecided
        }
    }

    /// Whether the level keeps climbing by itself.
    fn grows(&self) -> bool {
        self.net > 0
            && self.levels.rise_repeatedly()
            && !self.levels.drown()
            && (self.levels.keep_climbing() || self.levels.keep_climbing_but_for_one())
    }

    /// Whether what climbs is the amount in use: all that was born a while ago is gone. Except where the blocks don't
    /// become more and the level never falls: that is a buffer which is replaced by ever larger ones.
    fn turns_over(&self) -> bool {
        let gone = !self.torn_down
            && self.survival.as_ref().is_some_and(|survival| {
                let rise = self.levels.rise_before_last_third(survival.middle_marks());
                survival.lets_go(rise) && !survival.keeps_all()
            });
        let enlarged = self.iterations > FEWEST_ITERATIONS
            && self.levels.never_fall()
            && !self.blocks.keep_climbing()
            && !self.blocks.keep_climbing_but_for_one();
        gone && !enlarged
    }

    /// Whether every iteration leaves something behind, under ups and downs that hide it. Where the level did not
    /// rise by what was left behind, as much of the old was let go: a full cache.
    pub(super) fn hides_a_leak(&self) -> bool {
        self.net > 0
            && self.survival.as_ref().is_some_and(|survival| {
                let kept = survival.middle() as f64;
                survival.keeps_all() && self.levels.last_over_middle() >= kept / 2.0
            })
    }

    /// Whether it ended within 1 % of its highest level from where it began.
    fn is_level(&self) -> bool {
        self.net == 0 || percent(self.net.saturating_abs(), 1, self.highest)
    }
}

/// Whether `part` is at most `share` percent of `whole`.
fn percent(part: i64, share: i128, whole: i64) -> bool {
    i128::from(part) * 100 <= share * i128::from(whole)
}
