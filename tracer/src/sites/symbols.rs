//! Function symbols: who is defined where.

use object::{
    elf::{SHT_DYNSYM, SHT_SYMTAB, STT_FUNC, STT_GNU_IFUNC, STT_OBJECT, Sym64},
    read::{
        StringTable,
        elf::{FileHeader, Sym},
    },
};

use super::{
    dynamic,
    elf::{ENDIAN, Elf},
};
use crate::units::ElfAddr;

/// A function that the object defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Symbol<'data> {
    /// As the linker knows it, without a version.
    pub(crate) name: &'data str,
    /// Where it starts; of a resolver, where the resolver starts.
    pub(crate) address: ElfAddr,
    /// Bytes; 0 where nobody knows.
    pub(crate) size: u64,
    /// Whether the address is that of an `STT_GNU_IFUNC` resolver, which picks the function at run time.
    pub(crate) resolver: bool,
}

/// The exported functions, of every version: old programs still call the old ones.
pub(crate) fn exported<'data>(elf: &Elf<'data>) -> Vec<Symbol<'data>> {
    let listed = listed(elf, SHT_DYNSYM);
    // Section headers are for linkers; the loader, and so a stripped object, goes without.
    if listed.is_empty() { dynamic::exported(elf) } else { listed }
}

/// All functions of `.symtab`, local ones too. Empty for stripped objects.
pub(crate) fn linked<'data>(elf: &Elf<'data>) -> Vec<Symbol<'data>> {
    listed(elf, SHT_SYMTAB)
}

/// An exported variable.
pub(crate) fn variable(elf: &Elf<'_>, name: &str) -> Option<ElfAddr> {
    let sections = elf.header.sections(ENDIAN, elf.data).ok()?;
    let table = sections.symbols(ENDIAN, elf.data, SHT_DYNSYM).ok()?;
    let found = table.iter().find(|raw| {
        raw.st_type() == STT_OBJECT
            && !raw.is_undefined(ENDIAN)
            && raw.name(ENDIAN, table.strings()).is_ok_and(|found| found == name.as_bytes())
    })?;
    Some(ElfAddr(found.st_value(ENDIAN)))
}

fn listed<'data>(elf: &Elf<'data>, kind: u32) -> Vec<Symbol<'data>> {
    let table = elf
        .header
        .sections(ENDIAN, elf.data)
        .and_then(|sections| sections.symbols(ENDIAN, elf.data, kind));
    let Ok(table) = table else { return Vec::new() };
    let strings = table.strings();
    table.iter().filter_map(|raw| function(raw, strings)).collect()
}

/// The symbol as we know it, if it is a function that is defined here and has a readable name.
pub(super) fn function<'data>(
    raw: &Sym64<object::LittleEndian>,
    strings: StringTable<'data>,
) -> Option<Symbol<'data>> {
    let resolver = raw.st_type() == STT_GNU_IFUNC;
    let address = raw.st_value(ENDIAN);
    if raw.is_undefined(ENDIAN) || address == 0 || !(resolver || raw.st_type() == STT_FUNC) {
        return None;
    }
    let name = std::str::from_utf8(raw.name(ENDIAN, strings).ok()?).ok()?;
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let size = raw.st_size(ENDIAN);
    (!name.is_empty()).then_some(Symbol { name, address: ElfAddr(address), size, resolver })
}
