//! Which sections of an ELF file symbolizing needs, and what it says about its separate debug file.

use std::{fs::File, io};

use object::{
    Endianness,
    elf::{self, FileHeader64, SectionHeader64},
    read::{
        ReadCache, StringTable,
        elf::{FileHeader, SectionHeader},
    },
};

/// Largest file that is looked at. Beyond it, "size" is more likely a sparse file's than a program's.
const MAX_FILE: u64 = 16 << 30;
/// Most sections; also what the ordinary (not extended) ELF numbering can express.
const MAX_SECTIONS: u64 = 0xffff;
/// Longest note section that is searched for a build id, in bytes.
const MAX_NOTES: u64 = 64 << 10;

/// DWARF sections (`.debug_…`) that are never asked for, and large: locations of variables, call frames, name
/// indices, macros.
const UNUSED: [&[u8]; 11] = [
    b"loc",
    b"loclists",
    b"frame",
    b"names",
    b"pubnames",
    b"pubtypes",
    b"gnu_pubnames",
    b"gnu_pubtypes",
    b"macro",
    b"macinfo",
    b"gdb_scripts",
];

type Header = FileHeader64<Endianness>;
type Section = SectionHeader64<Endianness>;
type Data<'a> = &'a ReadCache<File>;

/// A range of the file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// What an ELF file holds of interest.
#[derive(Debug, Default)]
pub(super) struct Elf {
    /// Length of the file.
    pub(super) len: u64,
    /// The tables of headers, the symbol tables and their strings.
    pub(super) symbols: Vec<Part>,
    /// The DWARF sections that are used; without unused ones such as `.debug_loclists`.
    pub(super) debug: Vec<Part>,
    /// Bytes of `debug` once decompressed, as the file claims.
    pub(super) debug_bytes: u64,
    /// Whether there is a `.debug_info`.
    pub(super) has_debug_info: bool,
    /// Whether there is a `.symtab` beside the dynamic symbols.
    pub(super) has_symtab: bool,
    /// Where the headers of sections are that blazesym must not find: those that refer to other files, and
    /// the unused ones, which it would decompress.
    pub(super) hidden: Vec<u64>,
    /// The GNU build id.
    pub(super) build_id: Option<Vec<u8>>,
    /// Name and CRC-32 of `.gnu_debuglink`.
    pub(super) debug_link: Option<(Vec<u8>, u32)>,
}

impl Elf {
    /// Reads the headers. `file`'s position is moved.
    pub(super) fn read(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        if len > MAX_FILE {
            return Err(io::Error::other("the file is too large"));
        }
        let data = ReadCache::new(file);
        Self::parse(&data, len).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn parse(data: Data<'_>, len: u64) -> object::Result<Self> {
        let header = Header::parse(data)?;
        let endian = header.endian()?;
        let mut elf = Self { len, ..Self::default() };
        elf.symbols.push(Part { offset: 0, size: size_of::<Header>() as u64 });
        let count = u64::from(header.e_shnum(endian));
        if header.e_shoff(endian) == 0 || count == 0 || count > MAX_SECTIONS {
            return Ok(elf);
        }
        let table = header.e_shoff(endian);
        let each = size_of::<Section>() as u64;
        let sections = header.section_headers(endian, data)?;
        let names = header.section_strings(endian, data, sections)?;
        elf.symbols.push(Part { offset: table, size: count * each });
        for (section, at) in sections.iter().zip((table..).step_by(size_of::<Section>())) {
            elf.add(section, section.name(endian, names).unwrap_or_default(), at, endian, data)?;
        }
        Ok(elf)
    }

    fn add(
        &mut self,
        section: &Section,
        name: &[u8],
        header_at: u64,
        endian: Endianness,
        data: Data<'_>,
    ) -> object::Result<()> {
        let part = Part { offset: section.sh_offset(endian), size: section.sh_size(endian) };
        let fits = part.offset.checked_add(part.size).is_some_and(|end| end <= self.len);
        if !fits || section.sh_type(endian) == elf::SHT_NOBITS {
            return Ok(());
        }
        match section.sh_type(endian) {
            elf::SHT_SYMTAB => {
                self.has_symtab = true;
                self.symbols.push(part);
            }
            elf::SHT_DYNSYM | elf::SHT_STRTAB | elf::SHT_SYMTAB_SHNDX => self.symbols.push(part),
            elf::SHT_NOTE if part.size <= MAX_NOTES => self.note(section, endian, data),
            _ if is_link(name) => {
                self.hidden.push(header_at);
                if name == b".gnu_debuglink" && part.size <= MAX_NOTES {
                    self.debug_link = parse_link(section.data(endian, data)?, endian);
                }
            }
            _ if is_debug(name) && is_unused(name) => self.hidden.push(header_at),
            _ if is_debug(name) => {
                self.has_debug_info |= name == b".debug_info";
                let claimed = match section.compression(endian, data)? {
                    Some((header, ..)) => elf_size(header, endian),
                    None => part.size,
                };
                self.debug_bytes = self.debug_bytes.saturating_add(claimed);
                self.debug.push(part);
            }
            _ => {}
        }
        Ok(())
    }

    fn note(&mut self, section: &Section, endian: Endianness, data: Data<'_>) {
        let Ok(Some(mut notes)) = section.notes(endian, data) else { return };
        while let Ok(Some(note)) = notes.next() {
            let gnu = note.name() == elf::ELF_NOTE_GNU;
            if gnu && note.n_type(endian) == elf::NT_GNU_BUILD_ID && self.build_id.is_none() {
                self.build_id = Some(note.desc().to_vec());
            }
        }
    }
}

fn elf_size(header: &elf::CompressionHeader64<Endianness>, endian: Endianness) -> u64 {
    use object::read::elf::CompressionHeader;
    header.ch_size(endian)
}

/// Sections by which blazesym would go and open files of the target's choosing.
fn is_link(name: &[u8]) -> bool {
    matches!(name, b".gnu_debuglink" | b".gnu_debugaltlink" | b".debug_sup")
}

/// Without the old `.zdebug_` compression, which blazesym does not know.
fn is_debug(name: &[u8]) -> bool {
    name.starts_with(b".debug_")
}

fn is_unused(name: &[u8]) -> bool {
    name.strip_prefix(b".debug_").is_some_and(|kind| UNUSED.contains(&kind))
}

/// A file name, zero bytes up to a multiple of four, the CRC-32.
fn parse_link(data: &[u8], endian: Endianness) -> Option<(Vec<u8>, u32)> {
    use object::Endian;
    let name = StringTable::new(data, 0, data.len() as u64).get(0).ok()?;
    let crc = data.get((name.len() + 1).next_multiple_of(4)..)?.first_chunk::<4>()?;
    Some((name.to_vec(), endian.read_u32(u32::from_ne_bytes(*crc))))
}
