//! The rows of `.eh_frame`: where the caller's frame is, address by address.

use std::ops::Range;

use gimli::{
    BaseAddresses, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, ParsedEhFrameHdr, Pointer,
    UnwindSection,
};
use object::{
    elf::PT_GNU_EH_FRAME,
    read::elf::{FileHeader, ProgramHeader, SectionHeader},
};

use crate::{
    sites::elf::{ENDIAN, Elf},
    units::ElfAddr,
};

type Slice<'data> = EndianSlice<'data, LittleEndian>;

/// Bytes of an address.
const WORD: i64 = 8;

/// An object's call frame information.
pub(crate) struct Rows<'data> {
    /// For a binary search. Without it, look-ups go through all of `frames`.
    index: Option<ParsedEhFrameHdr<Slice<'data>>>,
    frames: EhFrame<Slice<'data>>,
    bases: BaseAddresses,
}

impl<'data> Rows<'data> {
    /// `None` where the object has no call frame information.
    pub(crate) fn new(elf: &Elf<'data>) -> Option<Self> {
        Self::indexed(elf).or_else(|| Self::unindexed(elf))
    }

    /// By `PT_GNU_EH_FRAME`, which takes no section headers.
    fn indexed(elf: &Elf<'data>) -> Option<Self> {
        let segment = elf.segments.iter().find(|s| s.p_type(ENDIAN) == PT_GNU_EH_FRAME)?;
        let header = segment.p_vaddr(ENDIAN);
        let bases = BaseAddresses::default().set_eh_frame_hdr(header);
        let bytes = elf.bytes_from(ElfAddr(header))?;
        let index = EhFrameHdr::new(bytes, LittleEndian).parse(&bases, WORD as u8).ok()?;
        index.table()?;
        let Pointer::Direct(start) = index.eh_frame_ptr() else { return None };
        Self::at(elf, ElfAddr(start), bases, Some(index))
    }

    /// By section header: static executables mostly have no index.
    fn unindexed(elf: &Elf<'data>) -> Option<Self> {
        let sections = elf.header.sections(ENDIAN, elf.data).ok()?;
        let (_, section) = sections.section_by_name(ENDIAN, b".eh_frame")?;
        Self::at(elf, ElfAddr(section.sh_addr(ENDIAN)), BaseAddresses::default(), None)
    }

    fn at(
        elf: &Elf<'data>,
        start: ElfAddr,
        bases: BaseAddresses,
        index: Option<ParsedEhFrameHdr<Slice<'data>>>,
    ) -> Option<Self> {
        let frames = EhFrame::new(elf.bytes_from(start)?, LittleEndian);
        let bases = bases.set_eh_frame(start.0);
        Some(Self { index, frames, bases })
    }

    /// The addresses of the function, or of the part of one, that has the instruction at `address`.
    pub(crate) fn extent(&self, address: ElfAddr) -> Option<Range<u64>> {
        let Self { index, frames, bases } = self;
        let cie = EhFrame::cie_from_offset;
        let entry = match index.as_ref().and_then(ParsedEhFrameHdr::table) {
            Some(table) => table.fde_for_address(frames, bases, address.0, cie),
            None => frames.fde_for_address(bases, address.0, cie),
        }
        .ok()?;
        Some(entry.initial_address()..entry.end_address())
    }
}
