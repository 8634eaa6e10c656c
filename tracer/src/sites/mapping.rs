//! The functions through which a libc changes the mappings of its process, as places to probe.

use std::collections::BTreeSet;

use super::{
    allocator::{Allocator, Named, by_start},
    elf::Elf,
    error::SitesError,
    functions::map_role_of,
    symbols::{self, Symbol},
};

/// What only a libc defines, glibc or musl, shared or linked in.
const OF_LIBC: &str = "__libc_start_main";

/// The mapping functions of an object that is a libc or has one linked in; nothing for any other. A
/// library that wraps `mmap` ends up in libc's, where the call is seen.
pub fn mapping_sites(object: &[u8]) -> Result<Allocator, SitesError> {
    let elf = Elf::parse(object)?;
    let exported = named(symbols::exported(&elf));
    let named = if exported.is_empty() { named(symbols::linked(&elf)) } else { exported };
    Ok(by_start(&elf, named))
}

fn named(symbols: Vec<Symbol<'_>>) -> Vec<Named<'_>> {
    let names: BTreeSet<&str> = symbols.iter().map(|symbol| symbol.name).collect();
    if !names.contains(OF_LIBC) {
        return Vec::new();
    }
    let mapping = symbols
        .into_iter()
        .filter_map(|symbol| map_role_of(symbol.name).map(|(family, role)| (family, role, symbol)));
    mapping.collect()
}

#[cfg(test)]
mod tests {
    use super::mapping_sites;
    use crate::sites::{
        FunctionSites, Role,
        testing::{compiled, libc, mapped},
    };

    fn find(functions: &[FunctionSites], role: Role) -> &FunctionSites {
        let mut found = functions.iter().filter(|function| function.role == role);
        let function = found.next().expect("libc has one");
        assert!(found.next().is_none(), "{role:?} is probed twice");
        function
    }

    #[test]
    fn finds_libc_s_once_each() {
        let Some(libc) = libc() else { return };
        let functions = mapping_sites(&libc).expect("it is ELF").functions;
        assert_eq!(functions.len(), 5);
        let mmap = find(&functions, Role::Mmap);
        assert!(mmap.aliases.contains(&"mmap64".to_owned()), "{:?}", mmap.aliases);
        assert!(mmap.aliases.contains(&"__mmap".to_owned()), "{:?}", mmap.aliases);
        assert!(mmap.site.emulated, "{:?}", mmap.site);
        for role in [Role::Munmap, Role::Mremap, Role::Brk, Role::Sbrk] {
            find(&functions, role);
        }
    }

    #[test]
    fn finds_those_of_a_static_executable() {
        let source = "
            #include <sys/mman.h>
            int main(int n, char **v) { return munmap(mmap(0, n, 0, 0, -1, 0), n); }
        ";
        let Some(program) = compiled("gcc", "map.c", source, &["-static"]) else { return };
        let functions = mapping_sites(&program).expect("it is ELF").functions;
        for role in [Role::Mmap, Role::Munmap, Role::Mremap, Role::Brk, Role::Sbrk] {
            find(&functions, role);
        }
    }

    #[test]
    fn leaves_out_wrappers_and_the_dynamic_linker() {
        let source = "void *mmap(void *p) { return p; } int munmap(void *p) { return p != 0; }";
        let flags = ["-shared", "-fPIC", "-fno-builtin"];
        let wrapper = compiled("gcc", "wrap.c", source, &flags);
        for object in [wrapper, mapped("ld-linux-x86-64.so.2")].into_iter().flatten() {
            assert_eq!(mapping_sites(&object).map(|sites| sites.functions), Ok(Vec::new()));
        }
    }
}
