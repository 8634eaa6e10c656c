//! `PT_DYNAMIC`: the dynamic symbol table without section headers, by the way that the loader goes.

use object::{
    LittleEndian,
    elf::{DT_GNU_HASH, DT_HASH, DT_STRSZ, DT_STRTAB, DT_SYMTAB, Dyn64, FileHeader64, Sym64},
    pod,
    read::{
        StringTable,
        elf::{Dyn, GnuHashTable, HashTable, ProgramHeader},
    },
};

use super::{
    elf::{ENDIAN, Elf},
    symbols::{Symbol, function},
};
use crate::units::ElfAddr;

type Header = FileHeader64<LittleEndian>;

/// The functions in `PT_DYNAMIC`'s symbol table; none where that leads nowhere.
pub(super) fn exported<'data>(elf: &Elf<'data>) -> Vec<Symbol<'data>> {
    symbols(elf).unwrap_or_default()
}

/// The entries of `PT_DYNAMIC`.
pub(super) fn entries<'data>(elf: &Elf<'data>) -> Option<&'data [Dyn64<LittleEndian>]> {
    elf.segments.iter().find_map(|segment| segment.dynamic(ENDIAN, elf.data).ok().flatten())
}

/// What the first entry with this tag says.
pub(super) fn value_of(entries: &[Dyn64<LittleEndian>], tag: u32) -> Option<u64> {
    let entry = entries.iter().find(|entry| entry.d_tag(ENDIAN) == u64::from(tag))?;
    Some(entry.d_val(ENDIAN))
}

fn symbols<'data>(elf: &Elf<'data>) -> Option<Vec<Symbol<'data>>> {
    let entries = entries(elf)?;
    let bytes = elf.bytes_from(address_of(entries, DT_SYMTAB)?)?;
    let (table, _) =
        pod::slice_from_bytes::<Sym64<LittleEndian>>(bytes, count(elf, entries)?).ok()?;
    let strings = elf.bytes_from(address_of(entries, DT_STRTAB)?)?;
    let size = value_of(entries, DT_STRSZ)?.min(strings.len() as u64);
    let strings = StringTable::new(strings, 0, size);
    Some(table.iter().filter_map(|raw| function(raw, strings)).collect())
}

/// How many symbols there are: only the hash tables know.
fn count(elf: &Elf<'_>, entries: &[Dyn64<LittleEndian>]) -> Option<usize> {
    let by_gnu_hash = || {
        let bytes = elf.bytes_from(address_of(entries, DT_GNU_HASH)?)?;
        GnuHashTable::<Header>::parse(ENDIAN, bytes).ok()?.symbol_table_length(ENDIAN)
    };
    let by_hash = || {
        let bytes = elf.bytes_from(address_of(entries, DT_HASH)?)?;
        Some(HashTable::<Header>::parse(ENDIAN, bytes).ok()?.symbol_table_length())
    };
    by_gnu_hash().or_else(by_hash).map(|count| count as usize)
}

fn address_of(entries: &[Dyn64<LittleEndian>], tag: u32) -> Option<ElfAddr> {
    value_of(entries, tag).map(ElfAddr)
}
