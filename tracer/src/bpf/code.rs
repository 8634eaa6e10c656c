//! Where the target's code lies, and how to unwind it: what the kernel side is told.

use aya::maps::{Array, MapError};
use tracer_common::{
    CodeMap, CodeSpan, MAX_SPANS, Space, SpanKind,
    limits::MAX_TABLES,
    names,
    unwind::{NODE_BYTES, Node},
};

use super::{BpfError, Kernel, kernel::settle};

/// `BPF_F_INNER_MAP`: the tables may differ in size. As the kernel side declares them.
const ANY_SIZE: u32 = 1 << 12;

/// An unwind table in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableId(pub u32);

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct CodeState {
    tables: u32,
    nodes: u64,
    generation: u32,
    /// Whether programs may still read the code map that was in use before.
    unsettled: bool,
    warned: bool,
}

impl Kernel {
    /// Copies a table into the kernel. Nobody sees it before it is whole.
    ///
    /// # Errors
    ///
    /// [`BpfError::TablesFull`] where there is no room for another one; where the kernel has no memory.
    pub fn add_table(&mut self, nodes: &[Node]) -> Result<TableId, BpfError> {
        let id = self.code.tables;
        if id >= MAX_TABLES {
            return Err(BpfError::TablesFull { most: MAX_TABLES });
        }
        let fill = || -> Result<_, MapError> {
            let mut table = Array::<_, Node>::create(nodes.len() as u32, ANY_SIZE)?;
            for (number, node) in nodes.iter().enumerate() {
                table.set(number as u32, node, 0)?;
            }
            Ok(table)
        };
        let table = fill().map_err(BpfError::map(names::TABLES))?;
        // From here on the outer map holds it: our own descriptor may go.
        self.maps.tables.set(id, &table, 0).map_err(BpfError::map(names::TABLES))?;
        self.code.tables += 1;
        self.code.nodes += nodes.len() as u64;
        Ok(TableId(id))
    }

    /// The target stands still, in all its threads: none of the programs is at work. Saves waiting for them.
    pub fn target_stands_still(&mut self) {
        self.code.unsettled = false;
    }

    /// What the tables take, in bytes.
    pub fn table_bytes(&self) -> u64 {
        self.code.nodes * NODE_BYTES as u64
    }

    /// Makes a new code map the one in use: the code of an address space, each span with its first address,
    /// ascending and disjoint. Of more than [`MAX_SPANS`], code of objects goes before code of none; what is left
    /// out is said once.
    ///
    /// # Errors
    ///
    /// Where the maps can't be written.
    pub fn publish_code(
        &mut self,
        space: Space,
        spans: &[(u64, CodeSpan)],
    ) -> Result<(), BpfError> {
        let kept = most_useful(spans);
        if kept.len() < spans.len() && !self.code.warned {
            self.code.warned = true;
            tracing::warn!(
                "the target has {} stretches of code, and {MAX_SPANS} can be told apart: stacks end at the others",
                spans.len()
            );
        }
        if self.code.unsettled {
            settle();
            self.code.unsettled = false;
        }
        self.code.generation += 1;
        let next = 1 - self.control.code_map;
        let mut map = self.maps.code.get(&next, 0).map_err(BpfError::map(names::CODE))?;
        map.generation = self.code.generation;
        map.space = space;
        fill(&mut map, &kept);
        self.maps.code.set(next, map, 0).map_err(BpfError::map(names::CODE))?;
        self.control.code_map = next;
        self.write_control()?;
        self.code.unsettled = true;
        Ok(())
    }
}

fn fill(map: &mut CodeMap, spans: &[(u64, CodeSpan)]) {
    map.len = spans.len() as u32;
    map.starts.fill(u64::MAX);
    map.spans.fill(CodeSpan::default());
    for (at, (start, span)) in spans.iter().enumerate() {
        map.starts[at] = *start;
        map.spans[at] = *span;
    }
}

/// At most [`MAX_SPANS`], in their order.
fn most_useful(spans: &[(u64, CodeSpan)]) -> Vec<(u64, CodeSpan)> {
    let mut kept = spans.to_vec();
    if kept.len() > MAX_SPANS {
        kept.sort_by_key(|(_, span)| use_of(span));
        kept.truncate(MAX_SPANS);
        kept.sort_unstable_by_key(|(start, _)| *start);
    }
    kept
}

/// The most useful first.
fn use_of(span: &CodeSpan) -> u8 {
    if span.kind == SpanKind::Table as u32 || span.kind == SpanKind::Pending as u32 {
        0
    } else if span.kind == SpanKind::Bare as u32 {
        1
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_no_object_is_left_out_first() {
        let span = |kind: SpanKind| CodeSpan { kind: kind as u32, ..CodeSpan::default() };
        let mut spans: Vec<_> = (0..1500).map(|at| (at, span(SpanKind::Anonymous))).collect();
        spans[7].1 = span(SpanKind::Bare);
        spans[1499].1 = span(SpanKind::Table);
        let kept = most_useful(&spans);
        assert_eq!(kept.len(), MAX_SPANS);
        assert_eq!(kept.last(), spans.last());
        assert!(kept.contains(&spans[7]) && kept.is_sorted_by_key(|(start, _)| *start));
        assert_eq!(most_useful(&spans[..3]), spans[..3]);
    }
}
