//! Rows, in the order of their addresses, into tables.

use std::collections::HashMap;

use tracer_common::unwind::{
    BpRule, Escape, LEAF_ROWS, NODE_BYTES, NODE_ESCAPES, Node, ROOT_KEYS, Row, Rule, RuleKind,
    TABLE_ROWS,
};

use super::{
    rule::Step,
    table::{Table, Tables, escape_words},
};
use crate::units::ElfAddr;

const WORDS: usize = NODE_BYTES / size_of::<u64>();
const EMPTY: Node = Node([u64::MAX; WORDS]);
/// Escapes of one table: their numbers have to fit into a rule's `b`.
const MAX_ESCAPES: usize = Rule::B_END as usize;

/// Takes rows and gives tables; starts another one where one is full.
pub(super) struct Writer {
    max_rows: usize,
    tables: Tables,
    origin: u64,
    rows: Vec<Row>,
    escapes: Vec<Escape>,
    numbers: HashMap<Escape, u32>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self::with_capacity(TABLE_ROWS)
    }

    /// With tables of `max_rows` rows at most.
    pub(super) fn with_capacity(max_rows: usize) -> Self {
        Self {
            max_rows,
            tables: Tables { tables: Vec::new(), rows: 0, unsupported: 0 },
            origin: 0,
            rows: Vec::new(),
            escapes: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// From `address` on, which is above all earlier ones, `step` holds.
    pub(super) fn push(&mut self, address: u64, step: Step) {
        let far = address.wrapping_sub(self.origin) >= u64::from(Row::END);
        if self.rows.len() == self.max_rows || far || !self.has_room_for(step) {
            self.close(address);
        }
        if self.rows.is_empty() {
            self.origin = address;
        }
        let rule = match step {
            Step::Rule(rule) => rule,
            Step::Escape(escape) => self.escape(escape),
        };
        if self.rows.last().is_none_or(|last| last.rule != rule) {
            self.rows.push(Row { pc: (address - self.origin) as u32, rule });
        }
    }

    /// The tables; the last row holds up to `end`, exclusive.
    pub(super) fn finish(mut self, end: u64) -> Tables {
        self.close(end);
        self.tables
    }

    fn has_room_for(&self, step: Step) -> bool {
        match step {
            Step::Escape(escape) if self.escapes.len() == MAX_ESCAPES => {
                self.numbers.contains_key(&escape)
            }
            _ => true,
        }
    }

    fn escape(&mut self, escape: Escape) -> Rule {
        let number = *self.numbers.entry(escape).or_insert_with(|| {
            self.escapes.push(escape);
            self.escapes.len() as u32 - 1
        });
        Rule::new(RuleKind::Escape, BpRule::Same, 0, number)
    }

    /// Makes a table of what there is, if anything, and begins the next.
    fn close(&mut self, end: u64) {
        if self.rows.is_empty() {
            return;
        }
        let leaves = self.rows.chunks(LEAF_ROWS);
        let mut nodes =
            Vec::with_capacity(1 + leaves.len() + self.escapes.len() / NODE_ESCAPES + 1);
        nodes.push(root(leaves.clone().map(|rows| rows[0].pc)));
        nodes.extend(leaves.clone().map(leaf));
        nodes.extend(self.escapes.chunks(NODE_ESCAPES).map(escapes));
        self.tables.rows += self.rows.len();
        self.tables.unsupported +=
            self.rows.iter().filter(|row| row.rule == Rule::UNSUPPORTED).count();
        self.tables.tables.push(Table {
            origin: ElfAddr(self.origin),
            // A row that reaches further than pcs do ends early: what is beyond has no rule.
            end: ElfAddr(end.min(self.origin.saturating_add(u64::from(Row::END)))),
            leaves: leaves.len() as u32,
            nodes,
        });
        self.rows.clear();
        self.escapes.clear();
        self.numbers.clear();
    }
}

fn root(first: impl Iterator<Item = u32>) -> Node {
    let mut keys = [Row::END; ROOT_KEYS];
    for (key, pc) in keys.iter_mut().zip(first) {
        *key = pc;
    }
    let mut node = EMPTY;
    for (word, keys) in node.0.iter_mut().zip(keys.chunks_exact(2)) {
        *word = u64::from(keys[0]) | u64::from(keys[1]) << 32;
    }
    node
}

fn leaf(rows: &[Row]) -> Node {
    let mut node = Node([u64::from(Row::END); WORDS]);
    for (word, row) in node.0.iter_mut().zip(rows) {
        *word = u64::from(row.pc) | u64::from(row.rule.0) << 32;
    }
    node
}

fn escapes(escapes: &[Escape]) -> Node {
    let mut node = Node([0; WORDS]);
    for (words, escape) in node.0.chunks_exact_mut(2).zip(escapes) {
        words.copy_from_slice(&escape_words(*escape));
    }
    node
}
