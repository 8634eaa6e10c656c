//! The allocation functions and the mapping functions: their names, and how their arguments are read.
//!
//! Return probes are for C functions, which never throw: a C++ exception through a return-probed function
//! aborts the target. `operator new` and mimalloc's `mi_new` are probed in another way, see
//! [`super::operators`].

use iced_x86::Register::{self, RCX, RDI, RDX, RSI};
use tracer_common::CallKind;

/// What a call does, and which argument means what. Arguments are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// `malloc`, `valloc`, `pvalloc`: argument 0 is the size.
    Malloc,
    /// `calloc`: argument 0 times argument 1.
    Calloc,
    /// `aligned_alloc`, `memalign`: argument 1 is the size.
    Aligned,
    /// `realloc`: argument 0 is the old block, argument 1 the size.
    Realloc,
    /// `reallocarray`: argument 0 is the old block, argument 1 times argument 2 the size.
    Reallocarray,
    /// `posix_memalign`: the block is stored through argument 0, argument 2 is the size.
    PosixMemalign,
    /// `free`: argument 0 is the block. No return probe.
    Free,
    /// `mmap`: argument 1 is the length.
    Mmap,
    /// `munmap`: argument 0 is the range, argument 1 its length. No return probe.
    Munmap,
    /// `mremap`: argument 0 is the old range, argument 1 its length, argument 2 the new length, argument 3
    /// flags.
    Mremap,
    /// `brk`: argument 0 is the new break.
    Brk,
    /// `sbrk`: argument 0 is the increment.
    Sbrk,
    /// `operator new`: argument 0 is the size. No return probe, but one on each instruction it ends with.
    OperatorNew,
    /// `malloc` of CPython's allocator table, whose functions get a context before all else: argument 1 is the size.
    PythonMalloc,
    /// `calloc` of the same: argument 1 times argument 2.
    PythonCalloc,
    /// `realloc` of the same: argument 1 is the old block, argument 2 the size.
    PythonRealloc,
    /// `free` of the same: argument 1 is the block. No return probe.
    PythonFree,
}

impl Role {
    /// The argument registers that the probe reads (System V x86-64).
    pub const fn registers(self) -> &'static [Register] {
        match self {
            Self::Malloc | Self::Free | Self::OperatorNew | Self::Brk | Self::Sbrk => &[RDI],
            Self::Calloc | Self::Realloc | Self::Munmap => &[RDI, RSI],
            Self::Aligned | Self::Mmap | Self::PythonMalloc | Self::PythonFree => &[RSI],
            Self::PythonCalloc | Self::PythonRealloc => &[RSI, RDX],
            Self::Mremap => &[RDI, RSI, RDX, RCX],
            Self::Reallocarray => &[RDI, RSI, RDX],
            Self::PosixMemalign => &[RDI, RDX],
        }
    }

    /// How the heap's return probe reads the result; `None` where it has none.
    pub const fn call_kind(self) -> Option<CallKind> {
        match self {
            Self::Malloc
            | Self::Calloc
            | Self::Aligned
            | Self::PythonMalloc
            | Self::PythonCalloc => Some(CallKind::Allocate),
            Self::Realloc | Self::Reallocarray | Self::PythonRealloc => Some(CallKind::Reallocate),
            Self::PosixMemalign => Some(CallKind::StoreThrough),
            Self::Free
            | Self::PythonFree
            | Self::OperatorNew
            | Self::Mmap
            | Self::Munmap
            | Self::Mremap
            | Self::Brk
            | Self::Sbrk => None,
        }
    }

    /// Whether a block is given back.
    pub const fn frees(self) -> bool {
        matches!(self, Self::Free | Self::PythonFree)
    }
}

/// Functions that belong together: what one of a family hands out, only the same family takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The plain C names, also jemalloc's own (`mallocx` …) when it is built without a prefix.
    C,
    /// `__libc_malloc` …: glibc's and musl's second names.
    Libc,
    /// `je_malloc` …
    Jemalloc,
    /// `_rjem_malloc` …: jemalloc as Rust's `tikv-jemallocator` builds it.
    RustJemalloc,
    /// `tc_malloc` …
    Tcmalloc,
    /// `mi_malloc` …
    Mimalloc,
    /// C++'s, mangled; they go with whatever other family the object has.
    Operators,
}

const PREFIXES: [(&str, Family); 5] = [
    ("__libc_", Family::Libc),
    ("_rjem_", Family::RustJemalloc),
    ("je_", Family::Jemalloc),
    ("tc_", Family::Tcmalloc),
    ("mi_", Family::Mimalloc),
];

/// Names that any family may have.
const COMMON: [(&str, Role); 13] = [
    ("malloc", Role::Malloc),
    ("calloc", Role::Calloc),
    ("realloc", Role::Realloc),
    ("reallocarray", Role::Reallocarray),
    ("posix_memalign", Role::PosixMemalign),
    ("aligned_alloc", Role::Aligned),
    ("memalign", Role::Aligned),
    ("valloc", Role::Malloc),
    ("pvalloc", Role::Malloc),
    ("free", Role::Free),
    ("cfree", Role::Free),
    ("free_sized", Role::Free),
    ("free_aligned_sized", Role::Free),
];

/// jemalloc's non-standard interface; Rust programs free nearly everything through `sdallocx`.
const JEMALLOC: [(&str, Role); 4] = [
    ("mallocx", Role::Malloc),
    ("rallocx", Role::Realloc),
    ("dallocx", Role::Free),
    ("sdallocx", Role::Free),
];

/// mimalloc's own; its Rust crate uses the aligned ones throughout, with the size before the alignment.
const MIMALLOC: [(&str, Role); 13] = [
    ("malloc_small", Role::Malloc),
    ("malloc_aligned", Role::Malloc),
    ("zalloc", Role::Malloc),
    ("zalloc_small", Role::Malloc),
    ("zalloc_aligned", Role::Malloc),
    ("mallocn", Role::Calloc),
    ("calloc_aligned", Role::Calloc),
    ("reallocn", Role::Reallocarray),
    ("recalloc", Role::Reallocarray),
    ("realloc_aligned", Role::Realloc),
    ("free_size", Role::Free),
    ("free_size_aligned", Role::Free),
    ("free_aligned", Role::Free),
];

/// How libc changes the mappings; nothing of any allocator family.
const MAPPING: [(&str, Role); 6] = [
    ("mmap", Role::Mmap),
    ("mmap64", Role::Mmap),
    ("munmap", Role::Munmap),
    ("mremap", Role::Mremap),
    ("brk", Role::Brk),
    ("sbrk", Role::Sbrk),
];

/// What libc's function `symbol` does to the mappings, if it does. Its own calls go by the names with two
/// underscores, which are the same functions.
pub(super) fn map_role_of(symbol: &str) -> Option<(Family, Role)> {
    let (family, name) = match symbol.strip_prefix("__") {
        Some(name) => (Family::Libc, name),
        None => (Family::C, symbol),
    };
    let (_, role) = MAPPING.iter().find(|(known, _)| *known == name)?;
    Some((family, *role))
}

/// mimalloc's names for its operators, which also are other signatures' implementation.
const MIMALLOC_OPERATORS: [&str; 4] =
    ["mi_new", "mi_new_nothrow", "mi_new_aligned", "mi_new_aligned_nothrow"];

/// What may follow `operator new(unsigned long` and `operator new[](unsigned long`. Not what a program adds:
/// its own placement forms allocate from who knows where.
const NEW_ARGUMENTS: [&str; 6] = [
    "",
    "RKSt9nothrow_t",
    "St11align_val_t",
    "St11align_val_tRKSt9nothrow_t",
    // TCMalloc's hints
    "12__hot_cold_t",
    "RKSt9nothrow_t12__hot_cold_t",
];

/// What may follow `operator delete(void*` and `operator delete[](void*`.
const DELETE_ARGUMENTS: [&str; 6] = [
    "",
    "m",
    "RKSt9nothrow_t",
    "St11align_val_t",
    "mSt11align_val_t",
    "St11align_val_tRKSt9nothrow_t",
];

/// What the function called `symbol` does, if it is one of those that are probed.
pub fn role_of(symbol: &str) -> Option<(Family, Role)> {
    operator_of(symbol).map(|role| (Family::Operators, role)).or_else(|| c_role_of(symbol))
}

fn operator_of(symbol: &str) -> Option<Role> {
    let follows =
        |prefixes: [&str; 2]| prefixes.iter().find_map(|prefix| symbol.strip_prefix(prefix));
    if MIMALLOC_OPERATORS.contains(&symbol)
        || follows(["_Znwm", "_Znam"]).is_some_and(|rest| NEW_ARGUMENTS.contains(&rest))
    {
        return Some(Role::OperatorNew);
    }
    follows(["_ZdlPv", "_ZdaPv"])
        .is_some_and(|rest| DELETE_ARGUMENTS.contains(&rest))
        .then_some(Role::Free)
}

fn c_role_of(symbol: &str) -> Option<(Family, Role)> {
    let prefixed =
        PREFIXES.iter().find_map(|(prefix, family)| Some((*family, symbol.strip_prefix(prefix)?)));
    let (family, name) = prefixed.unwrap_or((Family::C, symbol));
    let extra: &[(&str, Role)] = match family {
        Family::C | Family::Jemalloc | Family::RustJemalloc => &JEMALLOC,
        Family::Mimalloc => &MIMALLOC,
        Family::Libc | Family::Tcmalloc | Family::Operators => &[],
    };
    let (_, role) = COMMON.iter().chain(extra).find(|(known, _)| *known == name)?;
    Some((family, *role))
}

#[cfg(test)]
mod tests {
    use super::{Family, Role, role_of};

    #[test]
    fn knows_the_families() {
        assert_eq!(role_of("malloc"), Some((Family::C, Role::Malloc)));
        assert_eq!(role_of("cfree"), Some((Family::C, Role::Free)));
        assert_eq!(role_of("sdallocx"), Some((Family::C, Role::Free)));
        assert_eq!(role_of("__libc_memalign"), Some((Family::Libc, Role::Aligned)));
        assert_eq!(role_of("_rjem_sdallocx"), Some((Family::RustJemalloc, Role::Free)));
        assert_eq!(role_of("je_mallocx"), Some((Family::Jemalloc, Role::Malloc)));
        assert_eq!(role_of("tc_free_sized"), Some((Family::Tcmalloc, Role::Free)));
        assert_eq!(role_of("mi_realloc_aligned"), Some((Family::Mimalloc, Role::Realloc)));
        assert_eq!(role_of("mi_new"), Some((Family::Operators, Role::OperatorNew)));
        assert_eq!(
            role_of("_ZnamSt11align_val_tRKSt9nothrow_t"),
            Some((Family::Operators, Role::OperatorNew))
        );
        assert_eq!(role_of("_ZdlPvm"), Some((Family::Operators, Role::Free)));
    }

    #[test]
    fn takes_no_lookalike() {
        for name in [
            "",
            "mallocate",
            "je_",
            "mi_new_n",
            "__libc_freeres",
            "tc_new",
            "malloc_aligned",
            "_ZnwmPv",
            "_ZnwmR5Arena",
            "_ZN5Arena3newEm",
        ] {
            assert_eq!(role_of(name), None, "{name}");
        }
    }

    #[test]
    fn only_frees_go_without_a_return_probe() {
        for role in [Role::Malloc, Role::Calloc, Role::Aligned, Role::Realloc, Role::PosixMemalign]
        {
            assert!(role.call_kind().is_some());
        }
        assert_eq!(Role::Free.call_kind(), None);
    }
}
