//! The allocator that an object defines, as a list of places to probe.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    elf::Elf,
    error::SitesError,
    extents::Extents,
    finder::{Needs, Site, find_site},
    functions::{Family, Role, role_of},
    identity::{has_go_sections, is_glibc_linker, is_static},
    operators,
    symbols::{self, Symbol},
};
use crate::units::{ElfAddr, FileOffset};

/// What to probe in one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocator {
    /// One entry per function start, in file order.
    pub functions: Vec<FunctionSites>,
    /// The `ret` instructions that functions of [`Role::OperatorNew`] end with; other functions, too.
    pub exits: BTreeSet<FileOffset>,
    /// What is not probed although its name says that it should be; in order of names.
    pub notes: Vec<Note>,
}

/// One function, under all of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSites {
    /// Its first byte.
    pub address: ElfAddr,
    /// Its plainest name: `free`, not `__libc_free` or `cfree`.
    pub name: String,
    /// Its other names, sorted.
    pub aliases: Vec<String>,
    /// How its arguments are read.
    pub role: Role,
    /// The instruction that carries its entry probe and, if it has one, its return probe.
    pub site: Site,
}

/// A gap that the report should name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// An `STT_GNU_IFUNC` symbol: its address is that of a resolver, and the function has another name.
    Resolver {
        /// The symbol.
        name: String,
    },
    /// An `operator new` that ends in ways that can't be followed: what these return is not recorded.
    OpenEnd {
        /// The function.
        name: String,
    },
    /// A symbol whose address has no code in the file.
    NoCode {
        /// The symbol.
        name: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolver { name } => {
                write!(f, "{name} is chosen at run time (IFUNC) and not probed")
            }
            Self::OpenEnd { name } => write!(
                f,
                "{name} ends in ways that can't be followed; blocks that it returns there are missing"
            ),
            Self::NoCode { name } => write!(f, "{name} has no code in the file and is not probed"),
        }
    }
}

/// A symbol that is one of the functions to probe.
pub(super) type Named<'data> = (Family, Role, Symbol<'data>);

/// Finds the allocation functions of the ELF object that `object` holds in full, and their sites.
///
/// A family of names counts when the object defines both an allocating function and a freeing one, by
/// exported symbols or else by `.symtab`'s. glibc's dynamic linker never counts.
pub fn allocator_sites(object: &[u8]) -> Result<Allocator, SitesError> {
    let elf = Elf::parse(object)?;
    let (all_exported, all_linked) = (symbols::exported(&elf), symbols::linked(&elf));
    let mut named = Vec::new();
    if !is_glibc_linker(&all_exported) {
        named = complete_families(all_exported.clone());
        let found: BTreeSet<Family> = named.iter().map(|(family, ..)| *family).collect();
        let linked = complete_families(all_linked.clone());
        named.extend(linked.into_iter().filter(|(family, ..)| !found.contains(family)));
    }
    let extents = Extents::new(&elf, all_exported.iter().chain(&all_linked));
    if !named.is_empty() {
        let of = operators_of(&all_exported);
        named.extend(if of.is_empty() { operators_of(&all_linked) } else { of });
    }
    let mut allocator = by_start(&elf, named);
    operators::settle(&elf, &extents, &mut allocator);
    if allocator.functions.is_empty() {
        let go = has_go_sections(&elf);
        return Err(SitesError::NoAllocator { is_static: is_static(&elf), go });
    }
    Ok(allocator)
}

fn complete_families(symbols: Vec<Symbol<'_>>) -> Vec<Named<'_>> {
    let mut named: Vec<Named<'_>> = symbols
        .into_iter()
        .filter_map(|symbol| role_of(symbol.name).map(|(family, role)| (family, role, symbol)))
        .filter(|(family, ..)| *family != Family::Operators)
        .collect();
    let families = |frees: bool| -> BTreeSet<Family> {
        let of_kind = named.iter().filter(|(_, role, _)| (*role == Role::Free) == frees);
        of_kind.map(|(family, ..)| *family).collect()
    };
    let complete = &families(true) & &families(false);
    named.retain(|(family, ..)| complete.contains(family));
    named
}

/// C++'s operators among the symbols. Those of an object without an allocator of its own are left alone:
/// they hand out parts of what they get from elsewhere.
fn operators_of<'data>(symbols: &[Symbol<'data>]) -> Vec<Named<'data>> {
    let roles = symbols.iter().filter_map(|symbol| Some((role_of(symbol.name)?, *symbol)));
    let operators = roles.filter(|((family, _), _)| *family == Family::Operators);
    operators.map(|((family, role), symbol)| (family, role, symbol)).collect()
}

/// One entry per file offset, however many symbols lead there.
pub(super) fn by_start(elf: &Elf<'_>, named: Vec<Named<'_>>) -> Allocator {
    let mut starts: BTreeMap<FileOffset, Vec<Named<'_>>> = BTreeMap::new();
    let mut notes = BTreeSet::new();
    for entry in named {
        let (.., symbol) = entry;
        let name = symbol.name.to_owned();
        match elf.code_offset(symbol.address) {
            _ if symbol.resolver => drop(notes.insert(Note::Resolver { name })),
            None => drop(notes.insert(Note::NoCode { name })),
            Some(offset) => starts.entry(offset).or_default().push(entry),
        }
    }
    let functions = starts.into_iter().filter_map(|(start, all)| function(elf, start, all));
    Allocator {
        functions: functions.collect(),
        exits: BTreeSet::new(),
        notes: notes.into_iter().collect(),
    }
}

fn function(elf: &Elf<'_>, start: FileOffset, mut all: Vec<Named<'_>>) -> Option<FunctionSites> {
    all.sort_by_key(|(family, _, symbol)| (*family, is_dated(symbol.name), symbol.name));
    let &(_, role, Symbol { name, address, .. }) = all.first()?;
    let size = all.iter().map(|(.., symbol)| symbol.size).max()?;
    let code = elf.code(address, size)?;
    let aliases: BTreeSet<&str> = all.iter().map(|(.., symbol)| symbol.name).collect();
    let aliases = aliases.into_iter().filter(|alias| *alias != name).map(str::to_owned).collect();
    Some(FunctionSites {
        address,
        name: name.to_owned(),
        aliases,
        role,
        site: find_site(code, address, start, Needs::of_role(role)),
    })
}

/// Names that are kept for old programs only.
fn is_dated(name: &str) -> bool {
    matches!(name, "cfree" | "memalign" | "valloc" | "pvalloc")
}

#[cfg(test)]
mod tests;
