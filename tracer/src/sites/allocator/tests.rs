//! Real objects: this machine's libc, and programs that bring their own allocator.

use std::time::Instant;

use object::{LittleEndian, U16, U64, elf::FileHeader64, pod};
use proptest::prelude::{any, prop, proptest};

use super::{Allocator, FunctionSites, Note, allocator_sites};
use crate::sites::{
    Role, SitesError, build_id, find_function, is_go, is_static_executable,
    testing::{compiled, libc, mapped},
};

/// A program whose `malloc` and `free` are its own, and exported or not as the flags have it.
const OWN: &str = "
    static char heap[1 << 20]; static unsigned long used;
    void *malloc(unsigned long n) { void *p = heap + used; used += n; return p; }
    void free(void *p) { if (p) heap[0]++; }
    int main(void) { free(malloc(10)); return 0; }
";

fn own(prefix: &str, flags: &[&str]) -> Option<Vec<u8>> {
    let names = ["malloc", "free"].map(|name| format!("-D{name}={prefix}{name}"));
    let flags = [&["-O1", "-fno-builtin", names[0].as_str(), names[1].as_str()], flags].concat();
    compiled("gcc", "own.c", OWN, &flags)
}

fn find<'a>(allocator: &'a Allocator, name: &str) -> Option<&'a FunctionSites> {
    let called = |f: &&FunctionSites| f.name == name || f.aliases.iter().any(|alias| alias == name);
    allocator.functions.iter().find(called)
}

#[test]
fn gives_libc_cheap_sites() {
    let Some(libc) = libc() else { return };
    let started = Instant::now();
    let allocator = allocator_sites(&libc).expect("glibc defines an allocator");
    println!("{:.2?} for {} bytes", started.elapsed(), libc.len());
    for function in &allocator.functions {
        println!("{function:x?}");
    }
    assert_eq!(allocator.notes, []);
    for name in ["malloc", "calloc", "realloc", "free", "posix_memalign", "aligned_alloc"] {
        let function = find(&allocator, name).expect("glibc exports it");
        assert!(function.site.emulated, "{function:?}");
        let byte = libc[function.site.offset.0 as usize];
        assert_ne!(byte, 0xcc, "a breakpoint in the file");
    }
    let mut offsets: Vec<_> = allocator.functions.iter().map(|f| f.site.offset).collect();
    offsets.dedup();
    assert_eq!(offsets.len(), allocator.functions.len(), "one probe per offset");
}

#[test]
fn merges_aliases_under_the_plainest_name() {
    let Some(libc) = libc() else { return };
    let allocator = allocator_sites(&libc).expect("glibc defines an allocator");
    let free = find(&allocator, "__libc_free").expect("glibc exports it");
    assert_eq!((free.name.as_str(), free.role), ("free", Role::Free));
    assert!(free.aliases.contains(&"cfree".to_owned()), "{:?}", free.aliases);
    let aligned = find(&allocator, "memalign").expect("glibc exports it");
    assert_eq!(aligned.name, "aligned_alloc");
}

#[test]
fn finds_the_same_without_section_headers() {
    let Some(mut libc) = libc() else { return };
    let with = allocator_sites(&libc).expect("glibc defines an allocator");
    let (header, _) = pod::from_bytes_mut::<FileHeader64<LittleEndian>>(&mut libc).expect("ELF");
    header.e_shoff = U64::new(LittleEndian, 0);
    header.e_shnum = U16::new(LittleEndian, 0);
    header.e_shstrndx = U16::new(LittleEndian, 0);
    assert_eq!(allocator_sites(&libc), Ok(with));
}

#[test]
fn leaves_out_the_dynamic_linker_and_other_libraries() {
    for name in ["ld-linux-x86-64.so.2", "libm.so.6"] {
        let Some(object) = mapped(name) else { continue };
        let expected = SitesError::NoAllocator { is_static: false, go: false };
        assert_eq!(allocator_sites(&object), Err(expected), "{name}");
    }
}

#[test]
fn leaves_out_an_old_dynamic_linker_with_a_malloc_of_its_own() {
    let source = "
        void *malloc(unsigned long n) { return 0; }
        void free(void *p) {}
        #ifdef LINKER
        void *_dl_allocate_tls(void *p) { return p; }
        #endif
    ";
    let flags = ["-shared", "-fPIC", "-fno-builtin"];
    let Some(library) = compiled("gcc", "ld.c", source, &flags) else { return };
    assert!(allocator_sites(&library).is_ok());
    let flags = [&flags[..], &["-DLINKER"]].concat();
    let Some(linker) = compiled("gcc", "ld.c", source, &flags) else { return };
    assert!(matches!(allocator_sites(&linker), Err(SitesError::NoAllocator { .. })));
}

#[test]
fn knows_go_by_its_sections() {
    let source = "
        __attribute__((section(\".gopclntab\"))) char table[8] = {1};
        int main(void) { return table[0]; }
    ";
    let Some(program) = compiled("gcc", "go.c", source, &[]) else { return };
    assert!(is_go(&program));
    let error = allocator_sites(&program).expect_err("it defines none");
    assert!(error.to_string().contains("Go program"), "{error}");
}

#[test]
fn finds_allocators_that_only_the_symbol_table_tells_of() {
    for prefix in ["", "_rjem_", "mi_"] {
        let Some(program) = own(prefix, &[]) else { return };
        let allocator = allocator_sites(&program).expect("it defines both");
        let names: Vec<&str> = allocator.functions.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, [format!("{prefix}malloc"), format!("{prefix}free")]);
    }
    let Some(stripped) = own("mine_", &["-s", "-static", "-nostartfiles", "-e", "main"]) else {
        return;
    };
    let error = allocator_sites(&stripped).expect_err("no symbols");
    assert_eq!(error, SitesError::NoAllocator { is_static: true, go: false });
    assert!(error.to_string().contains("static executable without symbols"), "{error}");
}

#[test]
fn wants_a_family_complete() {
    let Some(half) =
        compiled("gcc", "half.c", "void je_free(void *p) {} int main(void) { return 0; }", &[])
    else {
        return;
    };
    assert!(matches!(allocator_sites(&half), Err(SitesError::NoAllocator { .. })));
}

#[test]
fn finds_the_allocator_of_a_static_executable() {
    for flags in [&["-static"][..], &["-static-pie"]] {
        let source =
            "#include <stdlib.h>\nint main(int n, char **v) { free(malloc(n)); return 0; }";
        let Some(program) = compiled("gcc", "plain.c", source, flags) else { return };
        assert!(is_static_executable(&program));
        let allocator = allocator_sites(&program).expect("it holds glibc's");
        for name in ["malloc", "calloc", "realloc", "free"] {
            assert!(find(&allocator, name).is_some_and(|f| f.site.emulated), "{name}");
        }
    }
}

#[test]
fn notes_what_is_chosen_at_run_time() {
    let source = "
        static void *mine(unsigned long n) { return 0; }
        static void *(*pick(void))(unsigned long) { return mine; }
        void *malloc(unsigned long) __attribute__((ifunc(\"pick\")));
        void *calloc(unsigned long a, unsigned long b) { return 0; }
        void free(void *p) {}
    ";
    let Some(library) = compiled("gcc", "ifunc.c", source, &["-shared", "-fPIC", "-fno-builtin"])
    else {
        return;
    };
    let allocator = allocator_sites(&library).expect("it defines calloc and free");
    assert_eq!(allocator.notes, [Note::Resolver { name: "malloc".to_owned() }]);
    assert!(find(&allocator, "malloc").is_none());
    assert!(!is_static_executable(&library));
}

#[test]
fn tells_objects_apart() {
    assert_eq!(allocator_sites(b"#!/bin/sh"), Err(SitesError::NotElf));
    assert_eq!(allocator_sites(b"\x7fELF"), Err(SitesError::NotElf));
    assert_eq!(allocator_sites(b"\x7fELF\x01"), Err(SitesError::Elf32));
    let mut arm = [0; 64];
    arm[..6].copy_from_slice(b"\x7fELF\x02\x01");
    arm[18] = 183;
    assert_eq!(allocator_sites(&arm), Err(SitesError::OtherMachine { machine: 183 }));
    let Some(libc) = libc() else { return };
    assert_eq!(build_id(&libc).map(|id| id.len()), Some(20));
    assert!(!is_go(&libc));
}

fn read_everything(object: &[u8]) {
    let _ = allocator_sites(object);
    let _ = find_function(object, "ns::malloc");
    let _ = (build_id(object), is_static_executable(object), is_go(object));
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut object = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0".to_vec();
        object.extend(&bytes);
        read_everything(&object);
        read_everything(&bytes);
    }
}

#[test]
fn damaged_objects_never_panic() {
    let Some(libc) = libc() else { return };
    // A small generator of our own: what fails must fail again.
    let mut state = 1_u64;
    let mut next = |limit: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    for round in 0..60 {
        let len = if round % 2 == 0 { libc.len() } else { next(libc.len()) };
        let mut object = libc[..len].to_vec();
        for _ in 0..20 {
            // Headers, or where the dynamic symbols and hash tables are.
            let limit = if next(2) == 0 { 1024 } else { 64 * 1024 }.min(len.max(1));
            if let Some(byte) = object.get_mut(next(limit)) {
                *byte ^= 1 << next(8);
            }
        }
        read_everything(&object);
    }
}
