//! A code object as the kernel side copied it.

use tracer_common::PYTHON_CODE_BYTES;

use super::{layout::CodeLayout, object::Source};

/// A code object and what it refers to, as they were while a thread ran it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeCopy {
    /// Address of the code object.
    pub code: u64,
    /// Its checksum.
    pub checksum: u32,
    /// Its first bytes.
    pub head: [u8; PYTHON_CODE_BYTES],
    /// The `str` that is its file's name; empty where it was too long to be copied, as the next two.
    pub file: Vec<u8>,
    /// The `str` that is its name.
    pub name: Vec<u8>,
    /// The `bytes` that are its line table.
    pub lines: Vec<u8>,
}

/// What a copy has, where it was in memory.
pub(super) struct Parts<'a>([(u64, &'a [u8]); 4]);

impl CodeCopy {
    /// By where the code object says that its members are.
    pub(super) fn parts(&self, layout: &CodeLayout) -> Parts<'_> {
        let member = |at: u32| {
            let word = self.head.get(at as usize..).and_then(<[u8]>::first_chunk);
            word.map_or(0, |word| u64::from_le_bytes(*word))
        };
        Parts([
            (self.code, &self.head),
            (member(layout.file), &self.file),
            (member(layout.qualified_name), &self.name),
            (member(layout.line_table), &self.lines),
        ])
    }
}

impl Source for Parts<'_> {
    fn bytes(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        self.0.iter().find_map(|(start, part)| {
            let from = usize::try_from(address.checked_sub(*start)?).ok()?;
            part.get(from..from.checked_add(len)?).map(<[u8]>::to_vec)
        })
    }
}
