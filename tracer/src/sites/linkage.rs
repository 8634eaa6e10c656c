//! What the global offset table will hold: the functions that the object reaches by name.

use std::collections::HashMap;

use object::{
    LittleEndian,
    elf::{
        DT_JMPREL, DT_PLTRELSZ, DT_RELA, DT_RELASZ, DT_STRSZ, DT_STRTAB, DT_SYMTAB,
        R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT, R_X86_64_RELATIVE, Rela64, Sym64,
    },
    pod,
    read::{StringTable, elf::Sym as _},
};

use super::{
    dynamic,
    elf::{ENDIAN, Elf},
};
use crate::units::ElfAddr;

/// The slots of the global offset table, by address.
#[derive(Default)]
pub(crate) struct Linkage<'data> {
    slots: HashMap<ElfAddr, Target<'data>>,
}

/// What a slot will point to.
#[derive(Clone, Copy)]
pub(crate) struct Target<'data> {
    /// Its name; empty where the slot has none.
    pub(crate) name: &'data str,
    /// Where this object has it; the loader may prefer another's of the same name, which then is
    /// the program's allocator as much as this one.
    pub(crate) address: Option<ElfAddr>,
}

impl<'data> Linkage<'data> {
    pub(crate) fn new(elf: &Elf<'data>) -> Self {
        Self::read(elf).unwrap_or_default()
    }

    /// Whether the loader fills the word at this address with a function's address.
    pub(crate) fn is_slot(&self, address: ElfAddr) -> bool {
        self.slots.contains_key(&address)
    }

    /// What the slot at this address points to.
    pub(crate) fn behind(&self, address: ElfAddr) -> Option<Target<'data>> {
        self.slots.get(&address).copied()
    }

    fn read(elf: &Elf<'data>) -> Option<Self> {
        let entries = dynamic::entries(elf)?;
        let value = |tag| dynamic::value_of(entries, tag);
        let names = elf.bytes_from(ElfAddr(value(DT_STRTAB)?))?;
        let names = StringTable::new(names, 0, value(DT_STRSZ)?.min(names.len() as u64));
        let symbols = elf.bytes_from(ElfAddr(value(DT_SYMTAB)?))?;
        let mut slots = HashMap::new();
        for (start, size) in [(DT_JMPREL, DT_PLTRELSZ), (DT_RELA, DT_RELASZ)] {
            let (Some(start), Some(size)) = (value(start), value(size)) else { continue };
            let Some(relocations) = relocations(elf, ElfAddr(start), size) else { continue };
            for relocation in relocations {
                let target = match relocation.r_type(ENDIAN, false) {
                    R_X86_64_JUMP_SLOT | R_X86_64_GLOB_DAT => {
                        named(symbols, names, relocation.r_sym(ENDIAN, false))
                    }
                    R_X86_64_RELATIVE => {
                        let address = ElfAddr(relocation.r_addend.get(ENDIAN).cast_unsigned());
                        elf.code_offset(address)
                            .map(|_| Target { name: "", address: Some(address) })
                    }
                    _ => None,
                };
                if let Some(target) = target {
                    slots.insert(ElfAddr(relocation.r_offset.get(ENDIAN)), target);
                }
            }
        }
        Some(Self { slots })
    }
}

fn relocations<'data>(
    elf: &Elf<'data>,
    start: ElfAddr,
    size: u64,
) -> Option<&'data [Rela64<LittleEndian>]> {
    let bytes = elf.bytes_from(start)?;
    let count = size.min(bytes.len() as u64) as usize / size_of::<Rela64<LittleEndian>>();
    pod::slice_from_bytes(bytes, count).ok().map(|(relocations, _)| relocations)
}

fn named<'data>(
    symbols: &'data [u8],
    names: StringTable<'data>,
    index: u32,
) -> Option<Target<'data>> {
    let at = (index as usize).checked_mul(size_of::<Sym64<LittleEndian>>())?;
    let (symbol, _) = pod::from_bytes::<Sym64<LittleEndian>>(symbols.get(at..)?).ok()?;
    let name = std::str::from_utf8(symbol.name(ENDIAN, names).ok()?).ok()?;
    let defined = !symbol.is_undefined(ENDIAN) && symbol.st_value(ENDIAN) != 0;
    Some(Target { name, address: defined.then(|| ElfAddr(symbol.st_value(ENDIAN))) })
}
