//! What the shape of a stack's growth says.

use serde::Serialize;

/// Fewer measured iterations than this decide nothing.
pub const FEWEST_ITERATIONS: u32 = 3;

/// The shape of a stack's growth over the measured iterations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A leak's shape: it grew in nearly all iterations, and still does.
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

/// What the rule looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Measured iterations.
    pub(super) iterations: u32,
    /// Iterations that grew.
    pub(super) grew: u32,
    /// Change from the baseline to the last mark, in bytes.
    pub(super) net: i64,
    /// Change within the last third of the iterations, in bytes.
    pub(super) last_third: i64,
    /// Sum of the iterations that grew, in bytes.
    pub(super) gains: i64,
    /// The greatest of them, in bytes.
    pub(super) largest_gain: i64,
    /// Highest live bytes at any mark.
    pub(super) highest: i64,
}

impl Shape {
    /// The rule. The first line that holds decides:
    ///
    /// 1. under [`FEWEST_ITERATIONS`]: undecided
    /// 2. net > 0, grew in at least 80 % of the iterations, and the last third grew: growing
    /// 3. net within 1 % of the highest level: stable
    /// 4. net < 0: shrinking
    /// 5. one iteration has at least 90 % of all gains: burst
    /// 6. the last third brought at most 5 % of the net growth: plateau
    /// 7. otherwise: undecided
    pub(super) fn verdict(&self) -> Verdict {
        let percent = |part: i64, share: i128, whole: i64| {
            i128::from(part) * 100 <= share * i128::from(whole)
        };
        let steady = u64::from(self.grew) * 100 >= u64::from(self.iterations) * 80;
        if self.iterations < FEWEST_ITERATIONS {
            Verdict::Undecided
        } else if self.net > 0 && steady && self.last_third > 0 {
            Verdict::Growing
        } else if self.net == 0 || percent(self.net.saturating_abs(), 1, self.highest) {
            Verdict::Stable
        } else if self.net < 0 {
            Verdict::Shrinking
        } else if percent(self.gains.saturating_sub(self.largest_gain), 10, self.gains) {
            Verdict::Burst
        } else if percent(self.last_third, 5, self.net) {
            Verdict::Plateau
        } else {
            Verdict::Undecided
        }
    }
}
