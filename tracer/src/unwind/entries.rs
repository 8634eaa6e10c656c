//! Which call frame information holds where.

use std::{collections::HashMap, ops::Range};

use gimli::{
    BaseAddresses, CommonInformationEntry, Reader as _, Section, UnwindOffset, UnwindSection,
};

use super::section::Slice;

/// Bytes of a common entry, at most. Real ones take less than a hundred; as each function's rows start with it,
/// a long one that thousands share would take forever.
const MAX_CIE: usize = 4096;

/// A common entry.
pub(super) type Cie<'data> = CommonInformationEntry<Slice<'data>>;

/// A stretch of code whose rows are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its addresses.
    pub(super) code: Range<u64>,
    pub(super) source: Source,
}

/// Where rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The entry at this offset in the section.
    Fde(usize),
    /// From us: an outermost function.
    Outermost,
}

/// Common entries by offset. `None` for those that can't be read.
pub(super) struct Cies<'data>(HashMap<usize, Option<Cie<'data>>>);

impl<'data> Cies<'data> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// The entry at `offset`, parsed once only.
    pub(super) fn get<S: UnwindSection<Slice<'data>>>(
        &mut self,
        section: &S,
        bases: &BaseAddresses,
        offset: S::Offset,
    ) -> gimli::Result<Cie<'data>> {
        let known = self.0.entry(UnwindOffset::into(offset)).or_insert_with(|| {
            let cie = section.cie_from_offset(bases, offset).ok()?;
            (cie.entry_len() <= MAX_CIE).then_some(cie)
        });
        known.clone().ok_or(gimli::Error::NotCieId)
    }
}

/// All entries for code in `executable`, by address, not overlapping: where the next one starts, one ends, and of
/// several with the same start the first in the section is taken. What can't be read is left out.
///
/// `sized` tells that the section is known to end where its bytes do. A terminator within it is then of one
/// of the linked files' making, not the end.
pub(super) fn collect<'data, S: UnwindSection<Slice<'data>> + Section<Slice<'data>>>(
    section: &S,
    bases: &BaseAddresses,
    cies: &mut Cies<'data>,
    executable: &[Range<u64>],
    sized: bool,
) -> Vec<Entry> {
    let mut found = Vec::new();
    let whole = section.reader();
    let mut rest = *whole;
    while !rest.is_empty() {
        let offset = rest.offset_from(*whole);
        let Ok((length, _)) = rest.read_initial_length() else { break };
        if length == 0 && !sized {
            break;
        }
        if rest.skip(length).is_err() {
            break;
        }
        if length > 0
            && let Ok(fde) = section.partial_fde_from_offset(bases, offset.into())
            && let Ok(fde) = fde.parse(|section, bases, at| cies.get(section, bases, at))
        {
            let code = fde.initial_address()..fde.end_address();
            // Of functions that the linker threw away, debug information may remain, with addresses near 0.
            if !code.is_empty() && executable.iter().any(|it| it.contains(&code.start)) {
                found.push(Entry { code, source: Source::Fde(offset) });
            }
        }
    }
    disjoint(&mut found);
    found
}

/// Sorts by address and makes entries end where the next one starts.
fn disjoint(entries: &mut Vec<Entry>) {
    // Stable, so that those with the same start remain in the section's order.
    entries.sort_by_key(|entry| entry.code.start);
    entries.dedup_by_key(|entry| entry.code.start);
    let mut next = u64::MAX;
    for entry in entries.iter_mut().rev() {
        entry.code.end = entry.code.end.min(next);
        next = entry.code.start;
    }
}
