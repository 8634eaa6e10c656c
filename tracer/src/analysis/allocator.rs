//! Allocation functions by name, wherever they are linked in.

use super::cpp_name::last_segment;

/// Public entries of C allocators, as they are called without a prefix.
const FAMILY: [&str; 26] = [
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "reallocf",
    "free",
    "cfree",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "valloc",
    "pvalloc",
    "malloc_usable_size",
    "mallocx",
    "rallocx",
    "sdallocx",
    "free_sized",
    "free_aligned_sized",
    "zalloc",
    "recalloc",
    "strdup",
    "strndup",
    "wcsdup",
    "asprintf",
    "vasprintf",
    "new",
];

/// Prefixes under which allocators export the family.
const PREFIXES: [&str; 13] = [
    "__libc_", "__rjem_", "_rjem_", "rjem_", "__je_", "je_", "tc_", "_mi_", "mi_heap_", "mi_",
    "__", "_int_", "rp",
];

/// Inner functions of glibc's and of the common allocators, seen in static executables.
const INNER: [&str; 13] = [
    "sysmalloc",
    "malloc_hook_ini",
    "malloc_consolidate",
    "tcache_init",
    "_mid_memalign",
    "realloc_hook_ini",
    "memalign_hook_ini",
    "do_malloc",
    "do_malloc_pages",
    "malloc_default",
    "imalloc",
    "iralloc",
    "large_malloc",
];

/// Rust's allocation symbols: the crate's own, the default allocator's and `#[global_allocator]`'s.
const RUST: [&str; 5] = ["__rust_alloc", "__rust_realloc", "__rust_dealloc", "__rdl_", "__rg_"];

/// Whether a function is an allocator's, or a C++/Rust allocation shim. `name` is without return type and
/// parameters.
pub(super) fn is_allocator(name: &str) -> bool {
    is_operator_new(name) || is_c_allocator(name) || is_rust_shim(name)
}

fn is_operator_new(name: &str) -> bool {
    ["operator new", "operator delete"].iter().any(|operator| {
        name.strip_prefix(operator)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['(', '[', ' ']))
    })
}

fn is_c_allocator(name: &str) -> bool {
    let bare = name.split('@').next().unwrap_or(name); // malloc@@GLIBC_2.2.5
    if INNER.contains(&bare) || (bare != "new" && FAMILY.contains(&bare)) {
        return true;
    }
    PREFIXES.iter().filter_map(|prefix| bare.strip_prefix(prefix)).any(|rest| {
        let rest = rest.split('.').next().unwrap_or(rest); // clones: .isra.0, .cold
        FAMILY.iter().any(|member| {
            rest.strip_prefix(member).is_some_and(|tail| tail.is_empty() || is_variant(tail))
        })
    })
}

/// `mi_malloc_aligned`, `_mi_malloc_generic`, `mi_new_nothrow`, `je_malloc_default` …
fn is_variant(tail: &str) -> bool {
    [
        "_aligned",
        "_aligned_at",
        "_small",
        "_generic",
        "_zero",
        "_nothrow",
        "_n",
        "_default",
        "_aligned_nothrow",
        "_impl",
    ]
    .contains(&tail)
}

fn is_rust_shim(name: &str) -> bool {
    let last = last_segment(name);
    // `__rust_alloc` itself, or as a member of the compiler's own crate `__rustc`.
    (last == name || name.starts_with("__rustc")) && RUST.iter().any(|shim| last.starts_with(shim))
}

#[cfg(test)]
mod tests {
    use super::is_allocator;

    #[test]
    fn allocators_and_their_namesakes() {
        for name in [
            "malloc",
            "malloc@@GLIBC_2.2.5",
            "__libc_calloc",
            "_int_malloc",
            "_int_malloc.isra.0",
            "je_malloc",
            "_rjem_malloc",
            "_rjem_mallocx",
            "je_malloc_default",
            "tc_malloc",
            "tc_new",
            "mi_malloc",
            "mi_heap_malloc_aligned",
            "_mi_malloc_generic",
            "mi_new",
            "__strdup",
            "strdup",
            "rpmalloc",
            "sysmalloc",
            "posix_memalign",
            "operator new(unsigned long)",
            "operator new[](unsigned long)",
            "operator new",
            "operator new(unsigned long, std::align_val_t)",
            "__rust_alloc",
            "__rust_alloc_zeroed",
            "__rdl_realloc",
            "__rg_alloc",
            "__rustc::__rust_alloc",
            "__rustc[5224e6b81cd82a8f]::__rdl_alloc",
        ] {
            assert!(is_allocator(name), "{name}");
        }
        for name in [
            "my_malloc",
            "xmalloc",
            "new",
            "mi_parse",
            "je_ne_sais_quoi",
            "tc_newline",
            "app::malloc",
            "app::Pool::operator new(unsigned long)",
            "operator newline",
            "app::__rust_alloc",
            "main",
            "",
            "rpc_new",
        ] {
            assert!(!is_allocator(name), "{name}");
        }
    }
}
