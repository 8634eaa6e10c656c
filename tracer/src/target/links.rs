//! Which objects a program was linked with: the dynamic linker never unloads these, in contrast to those that the
//! program loads itself.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    path::Path,
};

use object::{
    Endianness, ReadCache, ReadRef,
    elf::{DT_NEEDED, DT_SONAME, DT_STRSZ, DT_STRTAB, FileHeader64, PT_LOAD},
    read::{
        StringTable,
        elf::{Dyn as _, FileHeader as _, ProgramHeader as _},
    },
};

use super::ModuleId;

/// What an object is called, and what it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    names: Vec<Vec<u8>>,
    needed: Vec<Vec<u8>>,
}

impl Links {
    /// Those of a file; `path` is where it was mapped from.
    pub(super) fn of(file: &File, path: &Path) -> Self {
        let mut links = read(&ReadCache::new(file)).unwrap_or_default();
        links.names.extend(path.file_name().map(|name| name.as_encoded_bytes().to_vec()));
        links
    }
}

/// `executable`, and all that it needs, directly or not.
pub(super) fn linked_with(
    executable: ModuleId,
    links: &HashMap<ModuleId, Links>,
) -> BTreeSet<ModuleId> {
    let mut linked = BTreeSet::from([executable]);
    let mut open = vec![executable];
    while let Some(links_of) = open.pop().and_then(|id| links.get(&id)) {
        for (&id, other) in links {
            let is_needed = other.names.iter().any(|name| links_of.needed.contains(name));
            if is_needed && linked.insert(id) {
                open.push(id);
            }
        }
    }
    linked
}

fn read<'data>(data: impl ReadRef<'data>) -> Option<Links> {
    let header = FileHeader64::<Endianness>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, data).ok()?;
    let entries =
        segments.iter().find_map(|segment| segment.dynamic(endian, data).ok().flatten())?;
    let value_of = |tag: u32| {
        let entry = entries.iter().find(|entry| entry.d_tag(endian) == u64::from(tag))?;
        Some(entry.d_val(endian))
    };
    let address = value_of(DT_STRTAB)?;
    let start = segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD).find_map(
        |segment| {
            let within = address.checked_sub(segment.p_vaddr(endian))?;
            (within < segment.p_filesz(endian)).then(|| segment.p_offset(endian) + within)
        },
    )?;
    let strings = StringTable::new(data, start, start.checked_add(value_of(DT_STRSZ)?)?);
    let all = |tag: u32| {
        let entries = entries.iter().filter(move |entry| entry.d_tag(endian) == u64::from(tag));
        let offsets = entries.filter_map(move |entry| u32::try_from(entry.d_val(endian)).ok());
        offsets.filter_map(|at| strings.get(at).ok()).map(<[u8]>::to_vec)
    };
    Some(Links { names: all(DT_SONAME).collect(), needed: all(DT_NEEDED).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_executable_needs_is_linked_with_it() {
        let bytes = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
        let links =
            |names: &[&str], needed: &[&str]| Links { names: bytes(names), needed: bytes(needed) };
        let all = HashMap::from([
            (ModuleId(0), links(&["main"], &["liba.so.1"])),
            (ModuleId(1), links(&["liba.so.1", "liba.so.1.2"], &["libc.so.6"])),
            (ModuleId(2), links(&["libc.so.6"], &["ld.so"])),
            (ModuleId(3), links(&["ld.so"], &[])),
            (ModuleId(4), links(&["plugin.so"], &["libc.so.6", "libp.so"])),
            (ModuleId(5), links(&["libp.so"], &[])),
        ]);
        let linked = linked_with(ModuleId(0), &all);
        assert_eq!(linked, (0..4).map(ModuleId).collect());
    }

    #[test]
    fn links_are_read_from_a_real_program() {
        let path = std::env::current_exe().expect("the test has a path");
        let links = Links::of(&File::open(&path).expect("it can be read"), &path);
        assert!(links.needed.contains(&b"libc.so.6".to_vec()), "{links:?}");
        assert_eq!(links.names.len(), 1, "a program has no name of its own: {links:?}");
    }
}
