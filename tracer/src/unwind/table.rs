//! Tables as user space holds them, and the kernel side's search in them.

use tracer_common::unwind::{Escape, LEAF_ROWS, NODE_BYTES, NODE_ESCAPES, Node, ROOT_KEYS, Rule};

use crate::units::ElfAddr;

/// Tables of one object, by address, not overlapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// More than one only where an object has more rows than [`tracer_common::unwind::TABLE_ROWS`].
    pub tables: Vec<Table>,
    /// Rows of all tables.
    pub rows: usize,
    /// Rows among them that we can't follow.
    pub unsupported: usize,
}

/// What the kernel side searches: a root, leaves and escapes, as [`tracer_common::unwind`] describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The address that the rows' pcs count from, the first that the table answers for.
    pub origin: ElfAddr,
    /// The address after the last that it answers for.
    pub end: ElfAddr,
    /// How many nodes after the root are leaves. Escapes follow them.
    pub leaves: u32,
    /// All nodes.
    pub nodes: Vec<Node>,
}

impl Tables {
    /// The rule for the instruction at `address`; [`Rule::NONE`] outside of the tables.
    pub fn rule_at(&self, address: ElfAddr) -> Rule {
        self.table_at(address).map_or(Rule::NONE, |table| table.rule_at(address))
    }

    /// The table that answers for `address`.
    pub fn table_at(&self, address: ElfAddr) -> Option<&Table> {
        let after = self.tables.partition_point(|table| table.origin <= address);
        self.tables.get(after.checked_sub(1)?).filter(|table| address < table.end)
    }
}

impl Table {
    /// The rule for the instruction at `address`, by the same search as the kernel side's: root, then leaf.
    /// [`Rule::NONE`] for an address that the table doesn't answer for.
    pub fn rule_at(&self, address: ElfAddr) -> Rule {
        if !(self.origin..self.end).contains(&address) {
            return Rule::NONE;
        }
        let pc = (address.0 - self.origin.0) as u32;
        let leaf = last_not_above(ROOT_KEYS, pc, |index| self.word(0, index / 2, index % 2));
        let row = last_not_above(LEAF_ROWS, pc, |index| self.word(leaf + 1, index, 0));
        Rule(self.word(leaf + 1, row, 1))
    }

    /// What a rule of the kind `Escape` refers to by its `b`.
    pub fn escape(&self, number: u32) -> Option<Escape> {
        let number = number as usize;
        let node = self.nodes.get(1 + self.leaves as usize + number / NODE_ESCAPES)?;
        let at = number % NODE_ESCAPES * 2;
        Some(escape_of([node.0[at], node.0[at + 1]]))
    }

    /// What its nodes take, in bytes.
    pub fn bytes(&self) -> usize {
        self.nodes.len() * NODE_BYTES
    }

    /// The lower (0) or upper (1) half of a node's word.
    fn word(&self, node: usize, index: usize, half: usize) -> u32 {
        (self.nodes[node].0[index] >> (32 * half)) as u32
    }
}

/// The last of `len` keys, a power of two, that isn't above `pc`; 0 where all are.
fn last_not_above(len: usize, pc: u32, key: impl Fn(usize) -> u32) -> usize {
    let mut at = 0;
    let mut step = len / 2;
    while step > 0 {
        if key(at + step) <= pc {
            at += step;
        }
        step /= 2;
    }
    at
}

/// An escape as it lies in a node, in the machine's byte order, which is little-endian.
pub(super) fn escape_words(escape: Escape) -> [u64; 2] {
    let Escape { cfa_offset, ra_offset, bp_offset, from_rbp, bp, _pad } = escape;
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    [
        pair(cfa_offset as u32, ra_offset as u32),
        pair(bp_offset as u32, u32::from(from_rbp) | u32::from(bp) << 8),
    ]
}

fn escape_of([first, second]: [u64; 2]) -> Escape {
    Escape {
        cfa_offset: first as i32,
        ra_offset: (first >> 32) as i32,
        bp_offset: second as i32,
        from_rbp: (second >> 32) as u8,
        bp: (second >> 40) as u8,
        _pad: 0,
    }
}
