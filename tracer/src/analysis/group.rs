//! Sums per line and per file.

use std::{cmp::Reverse, collections::HashMap, hash::Hash};

use super::Place;
use crate::ledger::Amount;

/// What the stacks of one responsible line have together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineRow<'a> {
    /// The line.
    pub place: Place<'a>,
    /// Level or change, whichever was asked for.
    pub amount: Amount,
}

/// What the lines of one file have together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRow<'a> {
    /// The source file, or the object where the file is not known.
    pub file: &'a str,
    /// Level or change, whichever was asked for.
    pub amount: Amount,
}

/// Sums by line: most bytes first, then most blocks, then by place. Shrinkers come last and push nobody out.
pub fn by_line<'a>(stacks: impl IntoIterator<Item = (Place<'a>, Amount)>) -> Vec<LineRow<'a>> {
    let mut sources = HashMap::new();
    let lines = stacks.into_iter().map(|(place, amount)| {
        // A line is one row, also where its text was found for only some of its stacks.
        let line = place.without_source();
        if let Some(source) = place.source() {
            let known = sources.entry(line).or_insert(source);
            *known = source.max(known);
        }
        (line, amount)
    });
    let sums = sums(lines);
    let mut rows: Vec<_> = sums
        .into_iter()
        .map(|(line, amount)| {
            let place = line.with_source(sources.get(&line).copied());
            LineRow { place, amount }
        })
        .collect();
    rows.sort_unstable_by_key(|row| (Reverse(row.amount), row.place));
    rows
}

/// Sums by file, in the same order.
pub fn by_file<'a>(stacks: impl IntoIterator<Item = (Place<'a>, Amount)>) -> Vec<FileRow<'a>> {
    let files = stacks.into_iter().map(|(place, amount)| (place.file(), amount));
    let mut rows: Vec<_> =
        sums(files).into_iter().map(|(file, amount)| FileRow { file, amount }).collect();
    rows.sort_unstable_by_key(|row| (Reverse(row.amount), row.file));
    rows
}

fn sums<K: Eq + Hash>(parts: impl IntoIterator<Item = (K, Amount)>) -> HashMap<K, Amount> {
    let mut sums: HashMap<K, Amount> = HashMap::new();
    for (key, amount) in parts {
        *sums.entry(key).or_default() += amount;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::{by_file, by_line};
    use crate::{
        analysis::{NamedStack, Place, samples::frame},
        ledger::{Amount, samples::key},
    };

    #[test]
    fn what_has_no_stack_has_no_place() {
        let stack = NamedStack::new(vec![frame("main")], "complete");
        let none = NamedStack::new(vec![], "complete");
        assert_ne!(Place::of_stack(key(1), Some(&stack)), Place::Unknown);
        for (id, stack) in [(0, Some(&stack)), (1, Some(&none)), (1, None)] {
            assert_eq!(Place::of_stack(key(id), stack), Place::Unknown);
        }
    }

    fn line(file: &str, line: u32) -> Place<'_> {
        Place::Line { file, line, source: None }
    }

    fn amount(bytes: i64, blocks: i64) -> Amount {
        Amount { bytes, blocks }
    }

    #[test]
    fn a_line_whose_text_is_half_known_is_one_row() {
        let with = |source| Place::Line { file: "a.c", line: 1, source };
        let rows = by_line([(with(None), amount(1, 1)), (with(Some("f();")), amount(2, 1))]);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].place, rows[0].amount), (with(Some("f();")), amount(3, 2)));
    }

    #[test]
    fn stacks_of_a_line_are_one_row_and_ties_are_settled() {
        let stacks = [
            (line("b.c", 7), amount(10, 1)),
            (line("a.c", 9), amount(10, 1)),
            (line("b.c", 1), amount(30, 1)),
            (line("b.c", 7), amount(5, 2)),
            (line("a.c", 2), amount(10, 1)),
            (line("c.c", 1), amount(-90, -1)),
            (line("a.c", 1), amount(10, 2)),
        ];
        let order = [("b.c", 1), ("b.c", 7), ("a.c", 1), ("a.c", 2), ("a.c", 9), ("c.c", 1)];
        let mut reversed = stacks;
        reversed.reverse();
        for stacks in [stacks, reversed] {
            let rows = by_line(stacks);
            let places: Vec<_> = rows.iter().map(|row| row.place).collect();
            assert_eq!(places, order.map(|(file, number)| line(file, number)));
            assert_eq!(rows[1].amount, amount(15, 3));
        }
        let files: Vec<_> = by_file(stacks).iter().map(|row| (row.file, row.amount)).collect();
        assert_eq!(
            files,
            [("b.c", amount(45, 4)), ("a.c", amount(30, 4)), ("c.c", amount(-90, -1))]
        );
    }
}
