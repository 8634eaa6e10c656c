//! Names as people type them, on a program compiled on the spot.

use super::find_function;
use crate::{
    sites::{
        FindError,
        testing::{compiled, libc},
    },
    units::ElfAddr,
};

const SOURCE: &str = "
    namespace ns {
        struct Klass { int method(int x) const; static int twice(int x); static int twice(long x); };
        int Klass::method(int x) const { return x + 1; }
        int Klass::twice(int x) { return 2 * x; }
        int Klass::twice(long x) { return 3 * (int)x; }
        void handle_request(int) {}
    }
    extern \"C\" void plain() {}
    extern \"C\" void also_plain() __attribute__((alias(\"plain\")));
    int main() { return 0; }
";

fn program() -> Option<Vec<u8>> {
    compiled("g++", "names.cc", SOURCE, &["-O1"])
}

fn address(object: &[u8], name: &str) -> ElfAddr {
    find_function(object, name).expect("the program defines it").address
}

#[test]
fn finds_by_symbol_and_by_path() {
    let Some(program) = program() else { return };
    assert_eq!(address(&program, "plain"), address(&program, "also_plain"));
    let by_path = find_function(&program, "ns::handle_request").expect("it is there");
    assert_eq!(by_path.name, "ns::handle_request");
    assert_eq!(by_path.address, address(&program, "_ZN2ns14handle_requestEi"));
    address(&program, "ns::Klass::method");
}

#[test]
fn lists_what_an_ambiguous_name_may_mean() {
    let Some(program) = program() else { return };
    let error = find_function(&program, "ns::Klass::twice").expect_err("there are two");
    let FindError::Ambiguous { candidates, .. } = &error else { panic!("{error}") };
    let expected = [
        "_ZN2ns5Klass5twiceEi [ns::Klass::twice(int)]",
        "_ZN2ns5Klass5twiceEl [ns::Klass::twice(long)]",
    ];
    assert_eq!(candidates.as_slice(), expected);
    address(&program, "_ZN2ns5Klass5twiceEl");
}

#[test]
fn suggests_names_for_an_unknown_one() {
    let Some(program) = program() else { return };
    let error = find_function(&program, "handle_reqest").expect_err("a slip of the pen");
    let FindError::Unknown { near, .. } = &error else { panic!("{error}") };
    assert_eq!(near.first().map(String::as_str), Some("ns::handle_request"));
    assert!(near.len() <= 5);
    assert!(error.to_string().contains("similar names: ns::handle_request"), "{error}");
}

#[test]
fn refuses_resolvers() {
    let Some(libc) = libc() else { return };
    let expected = FindError::Resolver { name: "strlen".to_owned() };
    assert_eq!(find_function(&libc, "strlen"), Err(expected));
}

/// Rust's names by both of its ways to mangle, without hash and crate number; and C's.
#[test]
fn finds_what_rust_calls_it() {
    const RUST: &str = "
        #[unsafe(no_mangle)] #[inline(never)] extern \"C\" fn plain() { std::hint::black_box(()); }
        mod shop {
            pub struct Cart;
            impl Cart {
                #[inline(never)] pub fn checkout(&self, items: usize) -> usize { std::hint::black_box(items) }
            }
            #[inline(never)] pub fn close(items: usize) -> usize { std::hint::black_box(items) }
        }
        fn main() { plain(); shop::close(shop::Cart.checkout(1)); }
    ";
    // The compiler's own choice, which is the older one until it changes, and the newer one.
    for mangling in [&[][..], &["-C", "symbol-mangling-version=v0"]] {
        let flags = [&["--edition", "2024", "--crate-name", "app", "-O"][..], mangling].concat();
        let Some(program) = compiled("rustc", "app.rs", RUST, &flags) else { return };
        let close = find_function(&program, "app::shop::close").expect("it is there");
        assert_eq!(close.name, "app::shop::close");
        let checkout = find_function(&program, "app::shop::Cart::checkout").expect("it is there");
        assert_eq!(checkout.name, "app::shop::Cart::checkout");
        assert_ne!(address(&program, "plain"), close.address);
        let error = find_function(&program, "app::shop::colse").expect_err("a slip of the pen");
        assert!(error.to_string().contains("app::shop::close"), "{error}");
    }
}
