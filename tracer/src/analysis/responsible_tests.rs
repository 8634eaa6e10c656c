//! Names as symbolizers print them.

use super::{
    responsible,
    samples::{at, frame, within},
};
use crate::symbolize::{Frame, Language};

const LIBC: &str = "/usr/lib/x86_64-linux-gnu/libc.so.6";
const LIBSTDCXX: &str = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30";
const RUSTC: &str = "/rustc/4a4ef493e3a1488c6e321570238084b38948f6db/library";

#[test]
fn functions_of_the_runtimes_are_passed_over() {
    for name in [
        "std::vector<int, std::allocator<int> >::_M_realloc_insert<int const&>",
        "void std::vector<app::Row, std::allocator<app::Row> >::_M_realloc_insert<app::Row>(__gnu_cxx::__normal_iterator<app::Row*, std::vector<app::Row, std::allocator<app::Row> > >, app::Row&&)",
        "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::_M_create(unsigned long&, unsigned long)",
        "__gnu_cxx::new_allocator<app::Row>::allocate(unsigned long, void const*)",
        "std::__1::allocator<int>::allocate[abi:v160006](unsigned long)",
        "__cxa_allocate_exception",
        "alloc::vec::Vec<T,A>::push",
        "alloc::raw_vec::RawVecInner<A>::finish_grow",
        "alloc[3f2a1b]::raw_vec::finish_grow::<alloc[3f2a1b]::alloc::Global>",
        "<alloc::vec::Vec<T> as core::clone::Clone>::clone",
        "<alloc::string::String as core::fmt::Write>::write_str",
        "<alloc::vec::Vec<app::Row> as core::iter::traits::collect::FromIterator<app::Row>>::from_iter",
        "<T as alloc::string::ToString>::to_string",
        "<str as alloc::borrow::ToOwned>::to_owned",
        "<[T] as alloc::slice::hack::ConvertVec>::to_vec",
        "<&T as core::fmt::Debug>::fmt",
        "hashbrown::raw::RawTable<T,A>::reserve_rehash",
        "<hashbrown::map::HashMap<K,V,S,A> as core::iter::traits::collect::Extend<(K,V)>>::extend",
        "std::thread::Builder::spawn_unchecked_",
        "core::ops::function::FnOnce::call_once{{vtable.shim}}",
        "<app::Counting as core::alloc::global::GlobalAlloc>::alloc",
        "__rust_alloc",
        "operator new(unsigned long)",
    ] {
        assert_eq!(responsible(&[frame(name), frame("main")]), Some(1), "{name}");
    }
}

#[test]
fn functions_of_the_user_are_not() {
    for name in [
        "my::std_thing",
        "stdlike::push",
        "std_alloc",
        "allocate_table",
        "core_init",
        "app::std::thing",
        "<app::Foo as core::fmt::Display>::fmt",
        "<&app::Foo as core::iter::traits::collect::IntoIterator>::into_iter",
        "<app::Wrapper<alloc::vec::Vec<u8>> as core::clone::Clone>::clone",
        "<alloc::vec::Vec<u8> as app::Encode>::encode",
        "<T as app::Boxed>::boxed",
        "<app::Foo>::new",
        "std::vector<int, std::allocator<int> > app::make_table<int>(int)",
        "app::Pool::operator new(unsigned long)",
        "(anonymous namespace)::load(std::string const&)",
        "app::main::{{closure}}",
        "xmalloc",
        "parse_header",
        "",
    ] {
        assert_eq!(responsible(&[frame(name), frame("main")]), Some(0), "{name}");
    }
}

#[test]
fn objects_are_known_by_file_name() {
    let frames = [
        within(LIBC, "fopen"),
        within(LIBSTDCXX, "std::ostream::flush()"),
        within("/usr/lib/libpython3.11.so.1.0", "PyObject_Malloc"),
        within("/usr/bin/python3.11", "_PyEval_EvalFrameDefault"),
        within("/usr/lib/libcurl.so.4", "curl_easy_init"),
    ];
    assert_eq!(responsible(&frames), Some(4));
}

#[test]
fn python_lines_are_the_user_s() {
    let line = Frame {
        language: Language::Python,
        module: "/usr/bin/python3.11".to_owned(),
        ..at("load", "/srv/app/load.py", 42)
    };
    assert_eq!(responsible(&[within("/usr/bin/python3.11", "PyMem_Malloc"), line]), Some(1));
}

#[test]
fn source_files_outweigh_names() {
    let inlined = at("to_vec<u8>", &format!("{RUSTC}/alloc/src/slice.rs"), 110);
    let toolchain = at(
        "push",
        "/root/.rustup/toolchains/stable-x86_64-unknown-linux-gnu/lib/rustlib/src/rust/library/alloc/src/vec/mod.rs",
        2500,
    );
    let packaged = at("grow_one", "/usr/src/rustc-1.63.0/library/alloc/src/raw_vec.rs", 300);
    let header = at("allocate", "/usr/include/c++/12/bits/new_allocator.h", 137);
    let users_core = at("core::engine::run", "/src/shop/core/src/engine.rs", 7);
    let frames = [inlined, toolchain, packaged, header, users_core, frame("main")];
    assert_eq!(responsible(&frames), Some(4));
}

#[test]
fn hashbrown_is_a_container_wherever_it_was_built() {
    let registry =
        at("hashbrown::raw::RawTable<T>::reserve", "/src/vendor/hashbrown/src/raw.rs", 9);
    assert_eq!(responsible(&[registry, frame("app::insert")]), Some(1));
}

#[test]
fn where_all_is_plumbing_the_innermost_frame_is_named() {
    let frames = [within(LIBC, "malloc"), within(LIBC, "__libc_start_main")];
    assert_eq!(responsible(&frames), Some(0));
    assert_eq!(responsible(&[]), None);
}
