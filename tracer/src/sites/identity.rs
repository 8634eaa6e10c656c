//! What kind of object this is, and which build.

use object::{
    elf::{DF_1_PIE, DT_FLAGS_1, ET_EXEC, NT_GNU_BUILD_ID, PT_INTERP},
    read::elf::{FileHeader, ProgramHeader},
};

use super::{
    dynamic,
    elf::{ENDIAN, Elf},
    symbols::Symbol,
};

/// Whether it is an executable that asks for no dynamic linker, so that no other object can bring an
/// allocator. Static PIEs count, shared libraries don't. `false` for what is no ELF.
pub fn is_static_executable(object: &[u8]) -> bool {
    Elf::parse(object).is_ok_and(|elf| is_static(&elf))
}

/// The GNU build id, from the object's note segments. `None` where there is none.
pub fn build_id(object: &[u8]) -> Option<Vec<u8>> {
    let elf = Elf::parse(object).ok()?;
    elf.segments.iter().find_map(|segment| {
        let mut notes = segment.notes(ENDIAN, elf.data).ok()??;
        while let Ok(Some(note)) = notes.next() {
            if note.name() == b"GNU" && note.n_type(ENDIAN) == NT_GNU_BUILD_ID {
                return Some(note.desc().to_vec());
            }
        }
        None
    })
}

/// Whether the Go compiler built it, as its sections tell. Go's runtime allocates without `malloc`.
pub fn is_go(object: &[u8]) -> bool {
    Elf::parse(object).is_ok_and(|elf| has_go_sections(&elf))
}

pub(super) fn is_static(elf: &Elf<'_>) -> bool {
    let interpreted = elf.segments.iter().any(|segment| segment.p_type(ENDIAN) == PT_INTERP);
    !interpreted && (elf.header.e_type(ENDIAN) == ET_EXEC || is_pie(elf))
}

/// Only this flag tells a static PIE from a shared library.
fn is_pie(elf: &Elf<'_>) -> bool {
    let flags = dynamic::entries(elf).and_then(|entries| dynamic::value_of(entries, DT_FLAGS_1));
    flags.is_some_and(|flags| flags & u64::from(DF_1_PIE) != 0)
}

pub(super) fn has_go_sections(elf: &Elf<'_>) -> bool {
    let Ok(sections) = elf.header.sections(ENDIAN, elf.data) else { return false };
    [b".gopclntab".as_slice(), b".go.buildinfo", b".note.go.buildid"]
        .iter()
        .any(|name| sections.section_by_name(ENDIAN, name).is_some())
}

/// Whether the object is glibc's dynamic linker, by a function that it alone exports. Before glibc 2.31 it
/// exported a `malloc` too, which serves only until libc is loaded. musl's linker is its libc, and stays.
pub(super) fn is_glibc_linker(exported: &[Symbol<'_>]) -> bool {
    exported.iter().any(|symbol| symbol.name == "_dl_allocate_tls")
}
