//! C, C++ and Rust, each with an inlined function.

use std::sync::Arc;

use super::program::{Program, shown};
use crate::{
    symbolize::{Frame, Language, Symbolizer},
    target::{Location, Module, ModuleId},
    units::ElfAddr,
};

#[test]
fn c_with_an_inlined_function() {
    let program = Program::c(&["-g", "-O2"]);
    let (address, start) = program.first_call("parse_header");
    let outer = Frame {
        function: Some("parse_header".into()),
        module: "/app".into(),
        address: address.0,
        offset: address.0 - start,
        file: Some("/app.c".into()),
        line: Some(9),
        source: Some("char *p = leak(n + 7);  // grows".into()),
        inlined: false,
        language: Language::Native,
    };
    let inner = Frame {
        function: Some("leak".into()),
        offset: 0,
        line: Some(4),
        source: Some("char *p = sink(n);".into()),
        inlined: true,
        ..outer.clone()
    };
    assert_eq!(program.frames(address), [inner, outer]);
}

/// A call at the very end of a function returns to the next one: the reason for looking up the call.
#[test]
fn the_call_is_looked_up_and_not_what_follows() {
    let source = "void stop(void) __attribute__((noreturn));\n\
        __attribute__((noinline)) void fatal(void) { stop(); }\n\
        __attribute__((noinline)) void stop(void) { for (;;) __asm__(\"\"); }\n\
        int main(void) { fatal(); }\n";
    let program = Program::compile("cc", "app.c", source, &["-g", "-O2", "-falign-functions=1"]);
    let (address, start) = program.first_call("fatal");
    let frames = program.frames(address);
    let first = (Some("fatal"), Some("/app.c"), Some(2));
    assert_eq!((frames[0].function.as_deref(), frames[0].file.as_deref(), frames[0].line), first);
    assert_eq!(frames[0].offset, address.0 - start);
}

/// Each of these is a C++ type's mangled name, too.
#[test]
fn short_c_names_stay_as_they_are() {
    let source = "void sink(void);\n\
        __attribute__((noinline)) void a(void) { sink(); __asm__(\"\"); }\n\
        __attribute__((noinline)) void i(void) { a(); __asm__(\"\"); }\n\
        __attribute__((noinline)) void x(void) { i(); __asm__(\"\"); }\n\
        __attribute__((noinline)) void v(void) { x(); __asm__(\"\"); }\n\
        __attribute__((noinline)) void sink(void) { __asm__(\"\"); }\n\
        int main(void) { v(); }\n";
    for flags in [&["-g", "-O1"][..], &["-O1"]] {
        let program = Program::compile("cc", "app.c", source, flags);
        for name in ["a", "i", "x", "v"] {
            let (address, _) = program.first_call_exactly(name);
            assert_eq!(program.frames(address)[0].function.as_deref(), Some(name));
        }
    }
}

#[test]
fn cpp_is_demangled() {
    let source = "#include <cstdlib>\n\
        namespace store {\n\
        struct Cache { char *grow(int n); };\n\
        inline __attribute__((always_inline)) void *raw(int n) { return std::malloc(n); }\n\
        __attribute__((noinline)) char *Cache::grow(int n) {\n\
        char *p = static_cast<char *>(raw(n + 1));\n\
        *p = 1; return p; } }\n\
        int main(int argc, char **) { store::Cache c; return *c.grow(argc); }\n";
    let program = Program::compile("c++", "app.cpp", source, &["-g", "-O2"]);
    let (address, _) = program.first_call("4grow");
    assert_eq!(
        shown(&program.frames(address)),
        [
            (
                Some("store::raw(int)"),
                Some("/app.cpp"),
                Some(4),
                Some(
                    "inline __attribute__((always_inline)) void *raw(int n) { return std::malloc(n); }"
                ),
                true
            ),
            (
                Some("store::Cache::grow(int)"),
                Some("/app.cpp"),
                Some(6),
                Some("char *p = static_cast<char *>(raw(n + 1));"),
                false
            ),
        ]
    );
}

/// gcc gives such a function no linkage name in DWARF.
#[test]
fn a_static_cpp_function_has_its_whole_name() {
    let source = "#include <cstdlib>\n\
        namespace store {\n\
        __attribute__((noinline)) static char *raw(int n) {\n\
        char *p = static_cast<char *>(std::malloc(n)); *p = 1; return p; } }\n\
        int main(int argc, char **) { return *store::raw(argc); }\n";
    let program = Program::compile("c++", "app.cpp", source, &["-g", "-O2"]);
    let (address, _) = program.first_call("3raw");
    let frames = program.frames(address);
    assert_eq!(frames[0].function.as_deref(), Some("store::raw(int)"));
    assert_eq!(frames[0].line, Some(4));
}

#[test]
fn rust_is_demangled_without_hashes() {
    let source = "mod cache {\n\
        #[inline(never)] pub fn sink(n: usize) -> Vec<u8> { std::hint::black_box(vec![1; n]) }\n\
        #[inline(always)] fn leak(n: usize) -> usize { let v = sink(n); v.leak().len() }\n\
        #[inline(never)] pub fn grow(n: usize) -> usize {\n\
        leak(n + 1) + 1\n\
        } }\n\
        fn main() { std::process::exit(cache::grow(std::env::args().count()) as i32); }\n";
    // The default, and v0 where that is not the default.
    for flags in [&["-g", "-O"][..], &["-g", "-O", "-Csymbol-mangling-version=v0"]] {
        let program = Program::compile("rustc", "app.rs", source, flags);
        let (address, _) = program.first_call("4grow");
        let leak =
            "#[inline(always)] fn leak(n: usize) -> usize { let v = sink(n); v.leak().len() }";
        assert_eq!(
            shown(&program.frames(address)),
            [
                (Some("app::cache::leak"), Some("/app.rs"), Some(3), Some(leak), true),
                (
                    Some("app::cache::grow"),
                    Some("/app.rs"),
                    Some(5),
                    Some("leak(n + 1) + 1"),
                    false
                ),
            ],
            "{flags:?}"
        );
    }
}

/// gcc moves the cold half of a function elsewhere; offsets count within the half.
#[test]
fn offsets_in_a_split_function_count_from_its_part() {
    let source = "#include <stdlib.h>\n\
        __attribute__((noinline, cold)) void rare(int n) { __asm__ volatile(\"\" : : \"r\"(n)); }\n\
        __attribute__((noinline)) int work(int n) {\n\
        if (__builtin_expect(n > 3, 0)) { rare(n); rare(n + 1); return n * 3; }\n\
        return *(int *)malloc(n);\n\
        }\n\
        int main(int argc, char **argv) { return work(argc); }\n";
    let program = Program::compile("cc", "app.c", source, &["-g", "-O2"]);
    let (cold, cold_start) = program.first_call("work.cold");
    let frames = program.frames(cold);
    assert_eq!(frames.last().unwrap().function.as_deref(), Some("work"));
    assert_eq!(frames.last().unwrap().offset, cold.0 - cold_start);
    let (hot, hot_start) = program.first_call_exactly("work");
    assert_ne!(hot_start, cold_start);
    assert_eq!(program.frames(hot).last().unwrap().offset, hot.0 - hot_start);
}

#[test]
fn without_debug_information_there_are_symbols() {
    let program = Program::c(&["-O2"]);
    let (address, start) = program.first_call("parse_header");
    let frames = program.frames(address);
    assert_eq!(shown(&frames), [(Some("parse_header"), None, None, None, false)]);
    assert_eq!((frames[0].offset, frames[0].address), (address.0 - start, address.0));
}

#[test]
fn without_symbols_there_is_the_place() {
    let program = Program::c(&["-O2"]);
    let (address, _) = program.first_call("parse_header");
    program.tool("strip", &["app"]);
    let frames = program.frames(address);
    assert_eq!(shown(&frames), [(None, None, None, None, false)]);
    assert_eq!((frames[0].module.as_str(), frames[0].offset), ("/app", 0));
}

#[test]
fn what_has_no_file_or_mapping_has_no_function() {
    let vdso = Arc::new(Module { id: ModuleId(0), path: "[vdso]".into(), file: None });
    let stack = vec![
        Location::InModule(ModuleId(0), ElfAddr(0x5a1)),
        Location::Unmapped(0x7f00_1234),
        Location::InModule(ModuleId(9), ElfAddr(0)),
    ];
    let stacks = [stack.clone(), Vec::new(), stack];
    let found = Symbolizer::new(None).symbolize(&[vdso], &stacks, |_| None);
    let places = |frames: &[Frame]| -> Vec<(String, u64)> {
        frames.iter().map(|f| (f.module.clone(), f.address)).collect()
    };
    let unknown = || "[unknown]".to_owned();
    let expected = [("[vdso]".to_owned(), 0x5a1), (unknown(), 0x7f00_1234), (unknown(), 0)];
    assert_eq!(places(&found[0]), expected);
    assert!(found[1].is_empty());
    assert_eq!(found[2], found[0]);
    assert!(found[0].iter().all(|frame| frame.function.is_none()));
}
