//! Static probes that a program's author put in (USDT): places in the code that notes tell of, in the form of
//! `sys/sdt.h`. Used for `memtrace:iteration`.

use object::{
    LittleEndian,
    elf::{FileHeader64, SHT_NOTE},
    read::elf::{FileHeader, SectionHeader, SectionTable},
};

use super::{
    SitesError,
    elf::{ENDIAN, Elf},
};
use crate::units::{ElfAddr, FileOffset};

const SECTION: &[u8] = b".note.stapsdt";
/// A section whose place a note knows too: where `prelink` has moved the object, the two differ.
const BASE_SECTION: &[u8] = b".stapsdt.base";
const OWNER: &[u8] = b"stapsdt";
const KIND: u32 = 3;

/// A place in the code where a static probe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsdtSite {
    /// The probe's instruction, a `nop`, in the file.
    pub offset: FileOffset,
    /// A counter that the program looks at before it comes to this place, which it passes by while that is 0; in the
    /// file, too.
    pub semaphore: Option<FileOffset>,
}

/// Every place of the probe `provider:name`, in order, each once. Code that was inlined has several.
///
/// # Errors
///
/// Where the object is no ELF object of this machine. Notes that make no sense are passed over.
pub fn usdt_sites(object: &[u8], provider: &str, name: &str) -> Result<Vec<UsdtSite>, SitesError> {
    let elf = Elf::parse(object)?;
    let Ok(sections) = elf.header.sections(ENDIAN, elf.data) else { return Ok(Vec::new()) };
    let base = address_of(&sections, BASE_SECTION);
    let mut sites: Vec<UsdtSite> = sections
        .iter()
        .filter(|section| section.sh_type(ENDIAN) == SHT_NOTE)
        .filter(|section| sections.section_name(ENDIAN, section) == Ok(SECTION))
        .filter_map(|section| section.notes(ENDIAN, elf.data).ok().flatten())
        .flat_map(Iterator::flatten)
        .filter(|note| note.name() == OWNER && note.n_type(ENDIAN) == KIND)
        .filter_map(|note| Probe::read(note.desc()))
        .filter(|probe| probe.provider == provider.as_bytes() && probe.name == name.as_bytes())
        .filter_map(|probe| {
            let moved = base.map_or(0, |base| base.wrapping_sub(probe.base));
            let offset = elf.code_offset(ElfAddr(probe.address.wrapping_add(moved)))?;
            let counter = ElfAddr(probe.semaphore.wrapping_add(moved));
            let semaphore =
                if probe.semaphore == 0 { None } else { Some(elf.data_offset(counter)?) };
            Some(UsdtSite { offset, semaphore })
        })
        .collect();
    sites.sort_unstable();
    sites.dedup_by_key(|site| site.offset);
    Ok(sites)
}

/// What a note says.
struct Probe<'data> {
    address: u64,
    base: u64,
    semaphore: u64,
    provider: &'data [u8],
    name: &'data [u8],
}

impl<'data> Probe<'data> {
    fn read(note: &'data [u8]) -> Option<Self> {
        let (address, rest) = note.split_first_chunk()?;
        let (base, rest) = rest.split_first_chunk()?;
        let (semaphore, rest) = rest.split_first_chunk()?;
        let mut words = rest.split(|byte| *byte == 0);
        Some(Self {
            address: u64::from_le_bytes(*address),
            base: u64::from_le_bytes(*base),
            semaphore: u64::from_le_bytes(*semaphore),
            provider: words.next()?,
            name: words.next()?,
        })
    }
}

fn address_of(sections: &SectionTable<'_, FileHeader64<LittleEndian>>, name: &[u8]) -> Option<u64> {
    let (_, section) = sections.section_by_name(ENDIAN, name)?;
    Some(section.sh_addr(ENDIAN))
}

#[cfg(test)]
mod tests;
