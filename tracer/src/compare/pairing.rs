//! Which stacks of two runs are the same.
//!
//! Stacks of the same functions of the same objects are a group. Within a group they differ by their lines, which
//! another build may have moved:
//!
//! - Where all lines of one run are among those of the other, nothing has moved: equal lines are the same stack.
//! - Otherwise, if both runs have equally many stacks in the group, they are paired in order: code moves, but rarely
//!   past other code of its function.
//! - Otherwise the group is compared as a whole.

use std::collections::BTreeMap;

use super::{
    Member, Party,
    identity::{Moves, Stays},
};
use crate::ledger::Amount;

/// The same stack in two runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair<'a> {
    /// In the first; `None` where it isn't there.
    pub before: Option<Share<'a>>,
    /// In the second.
    pub after: Option<Share<'a>>,
}

/// What the stacks that count as one have in one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share<'a> {
    /// Their growth together.
    pub growth: Amount,
    /// The one that grew most.
    pub most: Member<'a>,
    /// Whether any of them was suppressed.
    pub suppressed: bool,
}

type Group<'a> = BTreeMap<Vec<Moves<'a>>, Share<'a>>;

/// Pairs the stacks of two runs: each is in exactly one pair. In an order that depends on the stacks only.
pub fn pair<'a>(before: &Party<'a>, after: &Party<'a>) -> Vec<Pair<'a>> {
    let mut groups: BTreeMap<_, (Group<'a>, Group<'a>)> = BTreeMap::new();
    for member in &before.members {
        add(&mut groups.entry(shape(member, before.program)).or_default().0, member);
    }
    for member in &after.members {
        add(&mut groups.entry(shape(member, after.program)).or_default().1, member);
    }
    groups.into_values().flat_map(|(before, after)| within(before, after)).collect()
}

fn shape<'a>(member: &Member<'a>, program: &str) -> Vec<Stays<'a>> {
    member.frames.iter().map(|frame| Stays::of(frame, program)).collect()
}

fn add<'a>(group: &mut Group<'a>, member: &Member<'a>) {
    let share = Share { growth: member.growth, most: *member, suppressed: member.suppressed };
    let lines = member.frames.iter().map(Moves::of).collect();
    group.entry(lines).and_modify(|sum| *sum = sum.with(share)).or_insert(share);
}

fn within<'a>(before: Group<'a>, mut after: Group<'a>) -> Vec<Pair<'a>> {
    let contains =
        |all: &Group<'a>, some: &Group<'a>| some.keys().all(|lines| all.contains_key(lines));
    if contains(&after, &before) || contains(&before, &after) {
        let mut pairs: Vec<_> = before
            .into_iter()
            .map(|(lines, share)| Pair { before: Some(share), after: after.remove(&lines) })
            .collect();
        pairs.extend(after.into_values().map(|share| Pair { before: None, after: Some(share) }));
        return pairs;
    }
    if before.len() == after.len() {
        let in_order = before.into_values().zip(after.into_values());
        return in_order
            .map(|(before, after)| Pair { before: Some(before), after: Some(after) })
            .collect();
    }
    let whole = |group: Group<'a>| group.into_values().reduce(Share::with);
    vec![Pair { before: whole(before), after: whole(after) }]
}

impl<'a> Pair<'a> {
    /// The stack that stands for the pair: the one that grew most, in the second run if it is there.
    pub fn most(&self) -> Member<'a> {
        let nothing = Member {
            frames: &[],
            responsible: None,
            growth: Amount::ZERO,
            verdict: "",
            suppressed: false,
        };
        self.after.or(self.before).map_or(nothing, |share| share.most)
    }
}

impl Share<'_> {
    fn with(self, other: Self) -> Self {
        Self {
            growth: self.growth + other.growth,
            most: if other.most.growth > self.most.growth { other.most } else { self.most },
            suppressed: self.suppressed || other.suppressed,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::{Pair, pair};
    use crate::{
        analysis::samples::at,
        compare::{Member, Party},
        ledger::Amount,
        symbolize::Frame,
    };

    /// `leak` called at these lines, and what each grew by.
    fn frames(lines: &[(u32, i64)]) -> Vec<(Vec<Frame>, i64)> {
        let stack = |line| vec![at("leak", "a.c", line), at("main", "a.c", 90)];
        lines.iter().map(|&(line, bytes)| (stack(line), bytes)).collect()
    }

    fn party(stacks: &[(Vec<Frame>, i64)]) -> Party<'_> {
        let members = stacks.iter().map(|(frames, bytes)| Member {
            frames,
            responsible: Some(0),
            growth: Amount { bytes: *bytes, blocks: 1 },
            verdict: "growing",
            suppressed: false,
        });
        Party { program: "app", members: members.collect() }
    }

    /// The growth of each pair, 0 for a side that is missing.
    fn paired(before: &[(u32, i64)], after: &[(u32, i64)]) -> Vec<(Option<i64>, Option<i64>)> {
        let (before, after) = (frames(before), frames(after));
        pair(&party(&before), &party(&after))
            .iter()
            .map(|Pair { before, after }| {
                (before.map(|s| s.growth.bytes), after.map(|s| s.growth.bytes))
            })
            .collect()
    }

    #[test]
    fn lines_that_stayed_are_told_apart() {
        let before = [(10, 1000), (20, 0)];
        assert_eq!(
            paired(&before, &[(10, 0), (20, 1000)]),
            [(Some(1000), Some(0)), (Some(0), Some(1000))]
        );
        assert_eq!(
            paired(&before, &[(10, 1), (20, 2), (30, 3)]),
            [(Some(1000), Some(1)), (Some(0), Some(2)), (None, Some(3))]
        );
        assert_eq!(paired(&before, &[(20, 7)]), [(Some(1000), None), (Some(0), Some(7))]);
    }

    #[test]
    fn lines_that_moved_keep_their_order() {
        // Ten lines further down: 20 is not the 20 from before.
        assert_eq!(
            paired(&[(10, 1), (20, 2)], &[(30, 22), (20, 11)]),
            [(Some(1), Some(11)), (Some(2), Some(22))]
        );
        assert_eq!(paired(&[(10, 1)], &[(11, 2)]), [(Some(1), Some(2))]);
    }

    #[test]
    fn what_can_t_be_told_apart_is_compared_as_one() {
        assert_eq!(
            paired(&[(10, 1), (20, 2)], &[(11, 10), (21, 20), (31, 30)]),
            [(Some(3), Some(60))]
        );
        // Of equal lines there is one stack, whatever their addresses.
        assert_eq!(paired(&[(10, 1), (10, 2)], &[(10, 5)]), [(Some(3), Some(5))]);
    }

    proptest! {
        /// No stack is lost or counted twice, whatever moved, and the other way round it is the same pairs.
        #[test]
        fn each_stack_is_in_one_pair(
            before in vec((1_u32..6, -50_i64..50), 0..8),
            after in vec((1_u32..6, -50_i64..50), 0..8),
        ) {
            let pairs = paired(&before, &after);
            let sum = |stacks: &[(u32, i64)]| stacks.iter().map(|(_, bytes)| bytes).sum::<i64>();
            prop_assert_eq!(pairs.iter().filter_map(|pair| pair.0).sum::<i64>(), sum(&before));
            prop_assert_eq!(pairs.iter().filter_map(|pair| pair.1).sum::<i64>(), sum(&after));
            let mut turned: Vec<_> =
                paired(&after, &before).into_iter().map(|(after, before)| (before, after)).collect();
            let mut pairs = pairs;
            turned.sort_unstable();
            pairs.sort_unstable();
            prop_assert_eq!(pairs, turned);
        }
    }

    #[test]
    fn what_has_no_stack_is_one() {
        let stacks = [(vec![], 5), (vec![], 6)];
        let pairs = pair(&Party::default(), &party(&stacks));
        assert_eq!(pairs.len(), 1);
        assert_eq!(pairs[0].after.map(|share| share.growth.bytes), Some(11));
    }
}
