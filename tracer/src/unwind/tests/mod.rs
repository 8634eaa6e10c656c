//! Tables against what they are made of.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod deferred;
mod hostile;
mod machine;
mod made;
mod system;

use tracer_common::unwind::{LEAF_ROWS, Row, Rule};

use super::Table;

/// A row of a table: the first address, the one after the last, and the rule.
type Stretch = (u64, u64, Rule);

/// All rows of a table, in order, read out of its nodes.
fn stretches(table: &Table) -> Vec<Stretch> {
    let leaves = &table.nodes[1..=table.leaves as usize];
    let rows: Vec<_> = leaves
        .iter()
        .flat_map(|leaf| leaf.0[..LEAF_ROWS].iter())
        .map(|&word| Row { pc: word as u32, rule: Rule((word >> 32) as u32) })
        .take_while(|row| row.pc != Row::END)
        .collect();
    let starts: Vec<_> = rows.iter().map(|row| table.origin.0 + u64::from(row.pc)).collect();
    let ends = starts[1..].iter().copied().chain([table.end.0]);
    starts.iter().zip(ends).zip(&rows).map(|((&start, end), row)| (start, end, row.rule)).collect()
}
