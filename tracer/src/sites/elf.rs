//! An ELF object as the loader sees it: header, segments, and the bytes behind an address.

use object::{
    LittleEndian,
    elf::{ELFCLASS64, ELFDATA2LSB, EM_X86_64, FileHeader64, PF_X, PT_LOAD, ProgramHeader64},
    read::elf::{FileHeader, ProgramHeader},
};

use super::error::SitesError;
use crate::units::{ElfAddr, FileOffset};

/// The only byte order of x86-64.
pub(crate) const ENDIAN: LittleEndian = LittleEndian;
/// Where the ELF identification keeps class, byte order and (after it) the machine.
const CLASS_AT: usize = 4;
const DATA_AT: usize = 5;
const MACHINE_AT: usize = 18;
/// Bytes of a function's code that are looked at when its symbol has no size.
const UNSIZED_FUNCTION: u64 = 512;
/// Bytes of a function's code that are looked at, at most. The largest allocator functions take 10 KiB.
const MAX_FUNCTION: u64 = 64 * 1024;

/// A 64-bit x86 object whose headers are sound. What they point to may still be missing.
#[derive(Clone, Copy)]
pub(crate) struct Elf<'data> {
    pub(crate) data: &'data [u8],
    pub(crate) header: &'data FileHeader64<LittleEndian>,
    pub(crate) segments: &'data [ProgramHeader64<LittleEndian>],
}

impl<'data> Elf<'data> {
    pub(crate) fn parse(data: &'data [u8]) -> Result<Self, SitesError> {
        if !data.starts_with(b"\x7fELF") {
            return Err(SitesError::NotElf);
        }
        if *data.get(CLASS_AT).ok_or(SitesError::NotElf)? != ELFCLASS64 {
            return Err(SitesError::Elf32);
        }
        let machine = data.get(MACHINE_AT..MACHINE_AT + 2).ok_or(SitesError::NotElf)?;
        let machine = u16::from_le_bytes([machine[0], machine[1]]);
        if data[DATA_AT] != ELFDATA2LSB || machine != EM_X86_64 {
            return Err(SitesError::OtherMachine { machine });
        }
        let header = FileHeader64::parse(data).map_err(|_| SitesError::NotElf)?;
        let segments = header.program_headers(ENDIAN, data).map_err(|_| SitesError::NotElf)?;
        Ok(Self { data, header, segments })
    }

    /// Where the code at `address` lies in the file; `None` unless an executable segment has it there.
    pub(crate) fn code_offset(&self, address: ElfAddr) -> Option<FileOffset> {
        let (offset, _) = self.locate(address, true)?;
        Some(FileOffset(offset))
    }

    /// Where the data at `address` lie in the file; `None` where it has none there.
    pub(crate) fn data_offset(&self, address: ElfAddr) -> Option<FileOffset> {
        let (offset, _) = self.locate(address, false)?;
        Some(FileOffset(offset))
    }

    /// A function's bytes from its start: `size` of them, fewer where the file or the segment ends, and
    /// a guess where the symbol knows no size.
    pub(crate) fn code(&self, address: ElfAddr, size: u64) -> Option<&'data [u8]> {
        let size = if size == 0 { UNSIZED_FUNCTION } else { size.min(MAX_FUNCTION) };
        let (offset, rest) = self.locate(address, true)?;
        self.data.get(offset as usize..(offset + size.min(rest)) as usize)
    }

    /// Everything that the file holds from `address` to the end of its segment, code or data.
    pub(crate) fn bytes_from(&self, address: ElfAddr) -> Option<&'data [u8]> {
        let (offset, rest) = self.locate(address, false)?;
        self.data.get(offset as usize..(offset + rest) as usize)
    }

    /// The file offset of `address`, and how many bytes of its segment the file holds from there (≥ 1).
    fn locate(&self, address: ElfAddr, executable: bool) -> Option<(u64, u64)> {
        self.segments.iter().find_map(|segment| {
            if segment.p_type(ENDIAN) != PT_LOAD
                || (executable && segment.p_flags(ENDIAN) & PF_X == 0)
            {
                return None;
            }
            let within = address.0.checked_sub(segment.p_vaddr(ENDIAN))?;
            let offset = segment.p_offset(ENDIAN).checked_add(within)?;
            let in_segment = segment.p_filesz(ENDIAN).checked_sub(within)?;
            let in_file = (self.data.len() as u64).checked_sub(offset)?;
            let rest = in_segment.min(in_file);
            (rest > 0).then_some((offset, rest))
        })
    }
}
