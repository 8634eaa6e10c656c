//! Where an object keeps its call frame information.

use gimli::{
    BaseAddresses, DebugFrame, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, ParsedEhFrameHdr,
    Pointer,
};
use object::{
    elf::{PT_GNU_EH_FRAME, SHF_COMPRESSED, SHT_NOBITS},
    read::elf::{FileHeader, ProgramHeader, SectionHeader},
};

use crate::{
    sites::elf::{ENDIAN, Elf},
    units::ElfAddr,
};

/// A part of the object's bytes, as gimli reads it.
pub(super) type Slice<'data> = EndianSlice<'data, LittleEndian>;

/// Bytes of an address.
const WORD: u8 = 8;

/// `.eh_frame`, by whichever of the two ways leads to it.
pub(super) struct EhSection<'data> {
    /// For a binary search.
    pub(super) index: Option<ParsedEhFrameHdr<Slice<'data>>>,
    /// From its first byte to the section's last; to the segment's last where there are no section headers.
    pub(super) frames: EhFrame<Slice<'data>>,
    pub(super) bases: BaseAddresses,
    /// Where it starts.
    pub(super) address: ElfAddr,
    /// Whether the last byte is known: then a terminator does not end it.
    pub(super) sized: bool,
}

impl<'data> EhSection<'data> {
    /// `None` where the object has none.
    pub(super) fn find(elf: &Elf<'data>) -> Option<Self> {
        Self::indexed(elf).or_else(|| Self::unindexed(elf))
    }

    /// By `PT_GNU_EH_FRAME`, which takes no section headers.
    fn indexed(elf: &Elf<'data>) -> Option<Self> {
        let segment = elf.segments.iter().find(|s| s.p_type(ENDIAN) == PT_GNU_EH_FRAME)?;
        let header = segment.p_vaddr(ENDIAN);
        let bases = BaseAddresses::default().set_eh_frame_hdr(header);
        let bytes = elf.bytes_from(ElfAddr(header))?;
        let index = EhFrameHdr::new(bytes, LittleEndian).parse(&bases, WORD).ok()?;
        let Pointer::Direct(start) = index.eh_frame_ptr() else { return None };
        let size = section(elf, b".eh_frame").filter(|it| it.address == start).map(|it| it.size);
        let index = index.table().is_some().then_some(index);
        Self::at(elf, ElfAddr(start), size, bases, index)
    }

    /// By section header: static executables mostly have no index.
    fn unindexed(elf: &Elf<'data>) -> Option<Self> {
        let found = section(elf, b".eh_frame")?;
        Self::at(elf, ElfAddr(found.address), Some(found.size), BaseAddresses::default(), None)
    }

    fn at(
        elf: &Elf<'data>,
        start: ElfAddr,
        size: Option<u64>,
        bases: BaseAddresses,
        index: Option<ParsedEhFrameHdr<Slice<'data>>>,
    ) -> Option<Self> {
        let bytes = elf.bytes_from(start)?;
        let bytes = match size {
            Some(size) => bytes.get(..usize::try_from(size).ok()?).unwrap_or(bytes),
            None => bytes,
        };
        let frames = EhFrame::new(bytes, LittleEndian);
        let bases = bases.set_eh_frame(start.0);
        Some(Self { index, frames, bases, address: start, sized: size.is_some() })
    }
}

/// `.debug_frame`, which is no part of the image in memory; `None` where it is compressed, too.
pub(super) fn debug_frame<'data>(elf: &Elf<'data>) -> Option<DebugFrame<Slice<'data>>> {
    let found = section(elf, b".debug_frame")?;
    let start = usize::try_from(found.offset).ok()?;
    let end = start.checked_add(usize::try_from(found.size).ok()?)?;
    Some(DebugFrame::new(elf.data.get(start..end)?, LittleEndian))
}

/// A section whose bytes are in the file as they are.
struct Section {
    address: u64,
    offset: u64,
    size: u64,
}

fn section(elf: &Elf<'_>, name: &[u8]) -> Option<Section> {
    let sections = elf.header.sections(ENDIAN, elf.data).ok()?;
    let (_, header) = sections.section_by_name(ENDIAN, name)?;
    // Of a file with nothing but debug information, the others have only headers.
    let plain = header.sh_type(ENDIAN) != SHT_NOBITS
        && header.sh_flags(ENDIAN) & u64::from(SHF_COMPRESSED) == 0;
    plain.then(|| Section {
        address: header.sh_addr(ENDIAN),
        offset: header.sh_offset(ENDIAN),
        size: header.sh_size(ENDIAN),
    })
}
