//! Function names as their language writes them.

use cpp_demangle::{DemangleOptions, Symbol};

/// How deep a name may nest before it is left mangled.
const RECURSION_LIMIT: u32 = 128;

/// The name that a C++ or Rust symbol stands for; any other symbol as it is.
pub(super) fn demangle(symbol: &str) -> String {
    demangled(symbol).unwrap_or_else(|| symbol.to_owned())
}

fn demangled(symbol: &str) -> Option<String> {
    let itanium = symbol.starts_with("_Z") || symbol.starts_with("__Z");
    // Older Rust has C++'s scheme, with a hash as the last part of the path.
    let maybe_rust = symbol.starts_with("_R") || itanium && symbol.contains("17h");
    if maybe_rust && let Ok(rust) = rustc_demangle::try_demangle(symbol) {
        return Some(format!("{rust:#}"));
    }
    let options = DemangleOptions::new().recursion_limit(RECURSION_LIMIT);
    itanium.then(|| Symbol::new(symbol).ok()?.demangle_with_options(&options).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::demangle;

    #[test]
    fn each_language_by_its_prefix() {
        for (symbol, name) in [
            ("_ZN2ns5Klass6methodEi", "ns::Klass::method(int)"),
            ("__ZN2ns5Klass6methodEi", "ns::Klass::method(int)"),
            ("_Z1av", "a()"),
            ("_ZN3app6handle17h0123456789abcdefE", "app::handle"),
            ("_RNvCs1234_3app6handle", "app::handle"),
            ("_ZnonsenseX", "_ZnonsenseX"),
            ("_Rest", "_Rest"),
        ] {
            assert_eq!(demangle(symbol), name);
        }
    }

    #[test]
    fn c_names_stay_as_they_are() {
        for name in ["a", "b", "c", "i", "v", "x", "z", "Pc", "St", "malloc", "ZN3foo3barE", "R"] {
            assert_eq!(demangle(name), name);
        }
    }
}
