//! The little of ELF that finding one's way in a process needs.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use object::{
    Endianness, ReadCache,
    elf::{ELFCLASS64, ELFMAG, EM_X86_64, FileHeader64, PF_X, PT_LOAD},
    read::elf::{FileHeader as _, ProgramHeader as _},
};

use crate::units::{ElfAddr, FileOffset};

/// Whether a file that begins with `header` holds 64-bit x86 code.
pub(super) fn is_x86_64(header: &[u8]) -> bool {
    let machine = header.get(18..20).map(|bytes| u16::from(bytes[0]) | (u16::from(bytes[1]) << 8));
    header.starts_with(&ELFMAG) && header.get(4) == Some(&ELFCLASS64) && machine == Some(EM_X86_64)
}

/// An executable segment: file bytes from `offset` on are at `address` by the file's own headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct CodeSegment {
    offset: FileOffset,
    len: u64,
    address: ElfAddr,
}

impl CodeSegment {
    /// The address of the byte at `offset`, if this segment has it. A mapping is made of whole pages, so
    /// it may begin before the segment's first byte.
    pub(super) fn address_of(&self, offset: FileOffset) -> Option<ElfAddr> {
        let page_mask = rustix::param::page_size() as u64 - 1;
        let first = self.offset.0 & !page_mask;
        let inside = offset.0 >= first && offset.0 < self.offset.0 + self.len;
        // Two's complement: the address of a page's start may be below the segment's.
        inside.then(|| ElfAddr(self.address.0.wrapping_add(offset.0).wrapping_sub(self.offset.0)))
    }
}

/// The executable segments of a file; none where it is not a 64-bit ELF object.
pub(super) fn code_segments(file: &File) -> Vec<CodeSegment> {
    let cache = ReadCache::new(file);
    let Ok(header) = FileHeader64::<Endianness>::parse(&cache) else { return Vec::new() };
    let Ok(endian) = header.endian() else { return Vec::new() };
    let Ok(segments) = header.program_headers(endian, &cache) else { return Vec::new() };
    segments
        .iter()
        .filter(|segment| segment.p_type(endian) == PT_LOAD && segment.p_flags(endian) & PF_X != 0)
        .map(|segment| CodeSegment {
            offset: FileOffset(segment.p_offset(endian)),
            len: segment.p_filesz(endian),
            address: ElfAddr(segment.p_vaddr(endian)),
        })
        .collect()
}

/// A whole file, by whatever thread: the file's position is left alone.
pub(crate) fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    bytes.resize(len, 0);
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
