//! Where functions begin and end, also those without a symbol.

use std::{collections::BTreeMap, ops::Range};

use super::{elf::Elf, symbols::Symbol};
use crate::{units::ElfAddr, unwind::Rows};

/// Function bounds, by symbols first and then by call frame information, which stripped objects have, too.
pub(super) struct Extents<'data> {
    by_symbol: BTreeMap<u64, u64>,
    rows: Option<Rows<'data>>,
}

impl<'data> Extents<'data> {
    pub(super) fn new<'a>(
        elf: &Elf<'data>,
        symbols: impl Iterator<Item = &'a Symbol<'data>>,
    ) -> Self
    where
        'data: 'a,
    {
        let sized = symbols.filter(|symbol| symbol.size > 0 && !symbol.resolver);
        let by_symbol = sized
            .map(|symbol| (symbol.address.0, symbol.address.0.saturating_add(symbol.size)))
            .collect();
        Self { by_symbol, rows: Rows::new(elf) }
    }

    /// The function that has the instruction at `address`, or a part of that function.
    pub(super) fn around(&self, address: ElfAddr) -> Option<Range<u64>> {
        let before = self.by_symbol.range(..=address.0).next_back();
        if let Some((&start, &end)) = before
            && address.0 < end
        {
            return Some(start..end);
        }
        self.rows.as_ref()?.extent(address)
    }
}
