//! What grew more in one run than in another, stack by stack.

use std::cmp::Reverse;

use super::{Pair, Recording, pair};

/// Which stacks a diff lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Those that grew more.
    Increased,
    /// Those that grew more, then those that grew less.
    Changed,
    /// All.
    Any,
}

/// Two runs compared. Growth is an average per measured iteration, as the runs may differ in length.
#[derive(Clone, Debug)]
pub struct Diff<'a> {
    /// The first run.
    pub before: DiffSide<'a>,
    /// The second run.
    pub after: DiffSide<'a>,
    /// Stacks that grew more, most first.
    pub increased: Vec<Change<'a>>,
    /// Stacks that grew less, most first.
    pub decreased: Vec<Change<'a>>,
    /// The others, by growth.
    pub unchanged: Vec<Change<'a>>,
    /// Stacks in none of these lists, because a run suppressed them.
    pub suppressed: u64,
    /// Settings that growth depends on and that the runs don't share.
    pub different_settings: Vec<&'static str>,
}

/// One of the two runs.
#[derive(Clone, Copy, Debug)]
pub struct DiffSide<'a> {
    /// The recording.
    pub recording: &'a Recording,
    /// Net growth over all stacks, suppressed ones too, in bytes per measured iteration.
    pub bytes_per_iteration: f64,
}

/// One stack in both runs.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The stack.
    pub pair: Pair<'a>,
    /// Its growth in the first run, in bytes per measured iteration; 0 where it isn't there.
    pub before: f64,
    /// The same in the second.
    pub after: f64,
}

impl<'a> Diff<'a> {
    /// Compares two runs.
    pub fn new(before: &'a Recording, after: &'a Recording) -> Self {
        let mut diff = Self {
            before: DiffSide::of(before),
            after: DiffSide::of(after),
            increased: Vec::new(),
            decreased: Vec::new(),
            unchanged: Vec::new(),
            suppressed: 0,
            different_settings: before.different_settings(&after.settings),
        };
        let mut changes = Vec::new();
        for pair in pair(&before.party(), &after.party()) {
            if [pair.before, pair.after].iter().flatten().any(|share| share.suppressed) {
                diff.suppressed += 1;
                continue;
            }
            let growth = |share: Option<super::Share<'_>>| share.map_or(0, |s| s.growth.bytes);
            let (old, new) = (growth(pair.before), growth(pair.after));
            // Over the common denominator, so that equal averages are equal.
            let scaled = scaled(new, before.measured).saturating_sub(scaled(old, after.measured));
            let change = Change {
                pair,
                before: average(old, before.measured),
                after: average(new, after.measured),
            };
            changes.push((scaled, new, change));
        }
        // Stable, so what is equal in all of this stays in the pairs' own order.
        changes.sort_by_cached_key(|(scaled, new, change)| {
            (Reverse(scaled.unsigned_abs()), Reverse(*new), change.pair.most().place().brief())
        });
        for (scaled, _, change) in changes {
            match scaled {
                1.. => diff.increased.push(change),
                0 => diff.unchanged.push(change),
                _ => diff.decreased.push(change),
            }
        }
        diff
    }

    /// The lists that a filter asks for, in order.
    pub fn lists(&self, filter: Filter) -> Vec<&[Change<'a>]> {
        match filter {
            Filter::Increased => vec![&self.increased],
            Filter::Changed => vec![&self.increased, &self.decreased],
            Filter::Any => vec![&self.increased, &self.decreased, &self.unchanged],
        }
    }
}

impl<'a> DiffSide<'a> {
    fn of(recording: &'a Recording) -> Self {
        let growth = recording
            .party()
            .members
            .iter()
            .fold(0_i64, |sum, member| sum.saturating_add(member.growth.bytes));
        Self { recording, bytes_per_iteration: average(growth, recording.measured) }
    }
}

fn average(bytes: i64, iterations: u64) -> f64 {
    bytes as f64 / iterations.max(1) as f64
}

fn scaled(bytes: i64, by: u64) -> i128 {
    i128::from(bytes).saturating_mul(i128::from(by))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Diff, Filter};
    use crate::compare::{Recording, samples::document};

    type Stacks<'a> = &'a [(&'a [&'a str], i64)];

    fn recording(stacks: Stacks<'_>, iterations: usize) -> Recording {
        let text = document(stacks, iterations).to_string();
        Recording::parse(text.as_bytes(), Path::new("a.json")).unwrap_or_else(|e| panic!("{e}"))
    }

    fn changes(diff: &Diff<'_>, filter: Filter) -> Vec<(String, f64, f64)> {
        let all = diff.lists(filter).concat();
        let name = |c: &super::Change<'_>| c.pair.most().callers(1).unwrap_or_default();
        all.iter().map(|change| (name(change), change.before, change.after)).collect()
    }

    #[test]
    fn averages_are_compared_not_sums() {
        let before = recording(&[(&["a"], 300), (&["b"], 300), (&["c"], 10), (&["gone"], 30)], 3);
        let after = recording(&[(&["a"], 1000), (&["b"], 2000), (&["c"], 5), (&["new"], 50)], 10);
        let diff = Diff::new(&before, &after);
        let row = |name: &str, before, after| (name.to_owned(), before, after);
        let increased = vec![row("b", 100.0, 200.0), row("new", 0.0, 5.0)];
        let decreased = vec![row("gone", 10.0, 0.0), row("c", 10.0 / 3.0, 0.5)];
        let unchanged = vec![row("a", 100.0, 100.0)];
        assert_eq!(changes(&diff, Filter::Increased), increased);
        assert_eq!(
            changes(&diff, Filter::Changed),
            [increased.clone(), decreased.clone()].concat()
        );
        assert_eq!(changes(&diff, Filter::Any), [increased, decreased, unchanged].concat());
        assert!((diff.after.bytes_per_iteration - 305.5).abs() < 1e-9);
    }

    #[test]
    fn a_run_compared_with_itself_has_not_changed() {
        let run = recording(&[(&["a", "main"], 300), (&["b", "main"], -7), (&[], 1)], 7);
        let diff = Diff::new(&run, &run);
        assert_eq!((diff.increased.len(), diff.decreased.len(), diff.unchanged.len()), (0, 0, 3));
    }

    #[test]
    fn the_order_of_the_stacks_does_not_show() {
        let stacks: Vec<(&[&str], i64)> =
            vec![(&["a"], 9), (&["b"], 9), (&["c", "a"], 9), (&["d"], 1)];
        let mut turned = stacks.clone();
        turned.reverse();
        let none = recording(&[], 1);
        let (one, other) = (recording(&stacks, 2), recording(&turned, 2));
        let rows = |run| changes(&Diff::new(&none, run), Filter::Any);
        assert_eq!(rows(&one), rows(&other));
    }

    #[test]
    fn numbers_at_the_ends_of_their_range_are_compared() {
        let (low, high) =
            (recording(&[(&["a"], i64::MIN)], 1), recording(&[(&["a"], i64::MAX)], 3));
        assert_eq!(Diff::new(&low, &high).increased.len(), 1);
        assert_eq!(Diff::new(&high, &low).decreased.len(), 1);
    }
}
