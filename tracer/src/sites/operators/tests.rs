//! Operators of real allocators, and of small ones that show one thing each.

use crate::sites::{
    Allocator, FunctionSites, Note, Role, allocator_sites,
    testing::{compiled, libc, mapped},
};

/// A `malloc` and a `free`, with operators as `operators` has them.
fn with(operators: &str) -> Option<(Vec<u8>, Allocator)> {
    let source = format!(
        "
        typedef unsigned long size;
        extern \"C\" {{
        char heap[1 << 20]; size used; void (*hook)(void *); void *(*give)(size);
        __attribute__((noinline)) void *malloc(size n) {{ void *p = heap + used; used += n; return p; }}
        __attribute__((noinline)) void free(void *p) {{ if (p) heap[0]++; }}
        }}
        {operators}
    "
    );
    let flags = ["-O2", "-shared", "-fPIC", "-fno-builtin"];
    let object = compiled("g++", "operators.cc", &source, &flags)?;
    let allocator = allocator_sites(&object).expect("it defines malloc and free");
    Some((object, allocator))
}

fn find<'a>(allocator: &'a Allocator, name: &str) -> Option<&'a FunctionSites> {
    let called = |f: &&FunctionSites| f.name == name || f.aliases.iter().any(|alias| alias == name);
    allocator.functions.iter().find(called)
}

#[test]
fn real_allocators_have_operators_apart_and_all_their_ends_are_known() {
    for name in ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2"] {
        let Some(object) = mapped(name) else { continue };
        let allocator = allocator_sites(&object).expect("an allocator");
        assert_eq!(allocator.notes, [], "{name}");
        let new = find(&allocator, "_Znwm").expect(name);
        assert_eq!((new.role, new.site.emulated), (Role::OperatorNew, true), "{name}");
        assert!(allocator.exits.len() >= 2, "{name}: {:?}", allocator.exits);
        for exit in &allocator.exits {
            assert_eq!(object[exit.0 as usize], 0xc3, "{name}: no ret at {exit:#x}");
        }
        assert!(find(&allocator, "_ZdlPv").is_none_or(|delete| delete.role.frees()));
    }
}

#[test]
fn the_c_library_has_nothing_to_end() {
    let Some(libc) = libc() else { return };
    assert!(allocator_sites(&libc).expect("glibc defines an allocator").exits.is_empty());
}

#[test]
fn operators_that_go_by_malloc_and_free_are_left_to_these() {
    let Some((_, allocator)) = with(
        "
        void *operator new(size n) { void *p = malloc(n); if (!p) __builtin_trap(); return p; }
        void operator delete(void *p) noexcept { free(p); }
        void operator delete(void *p, size) noexcept { if (p) free(p); }
    ",
    ) else {
        return;
    };
    let names: Vec<&str> = allocator.functions.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["malloc", "free"]);
    assert!(allocator.exits.is_empty());
}

#[test]
fn operators_with_two_ways_are_probed_as_such() {
    let Some((_, allocator)) = with(
        "
        void *operator new(size n) { if (n > 100) return malloc(n); return heap; }
        void operator delete(void *p) noexcept { if (p != heap) free(p); else used = 0; }
    ",
    ) else {
        return;
    };
    assert_eq!(find(&allocator, "_Znwm").map(|f| f.role), Some(Role::OperatorNew));
    assert_eq!(find(&allocator, "_ZdlPv").map(|f| f.role), Some(Role::Free));
    assert_eq!(allocator.exits.len(), 1);
}

#[test]
fn an_end_that_cannot_be_followed_is_named() {
    let Some((_, allocator)) =
        with("void *operator new(size n) { if (n > 100) return give(n); return heap; }")
    else {
        return;
    };
    assert_eq!(allocator.notes, [Note::OpenEnd { name: "_Znwm".to_owned() }]);
    assert_eq!(allocator.exits.len(), 1);
}
