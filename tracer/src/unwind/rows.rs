//! Which function an address belongs to, by call frame information; what `sites` asks where symbols are missing.

use std::ops::Range;

use gimli::{EhFrame, ParsedEhFrameHdr, UnwindSection};

use super::section::EhSection;
use crate::{sites::elf::Elf, units::ElfAddr};

/// An object's call frame information.
pub(crate) struct Rows<'data>(EhSection<'data>);

impl<'data> Rows<'data> {
    /// `None` where the object has no call frame information.
    pub(crate) fn new(elf: &Elf<'data>) -> Option<Self> {
        EhSection::find(elf).map(Self)
    }

    /// The addresses of the function, or of the part of one, that has the instruction at `address`.
    pub(crate) fn extent(&self, address: ElfAddr) -> Option<Range<u64>> {
        let EhSection { index, frames, bases, .. } = &self.0;
        let cie = EhFrame::cie_from_offset;
        let entry = match index.as_ref().and_then(ParsedEhFrameHdr::table) {
            Some(table) => table.fde_for_address(frames, bases, address.0, cie),
            None => frames.fde_for_address(bases, address.0, cie),
        }
        .ok()?;
        Some(entry.initial_address()..entry.end_address())
    }
}
