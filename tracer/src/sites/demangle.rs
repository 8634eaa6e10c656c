//! Symbol names as people write them.

use cpp_demangle::DemangleOptions;

/// How deep a name may nest before it is left mangled.
const RECURSION_LIMIT: u32 = 128;

/// The path of a C++ or Rust function: no parameters, no return type, no hash. `None` for other names.
pub(super) fn path(symbol: &str) -> Option<String> {
    demangled(symbol, false)
}

/// The same with the parameters, which tell overloads apart.
pub(super) fn signature(symbol: &str) -> Option<String> {
    demangled(symbol, true)
}

fn demangled(symbol: &str, with_parameters: bool) -> Option<String> {
    if !symbol.starts_with("_Z") && !symbol.starts_with("_R") {
        return None;
    }
    if let Ok(rust) = rustc_demangle::try_demangle(symbol) {
        return Some(without_brackets(format!("{rust:#}")));
    }
    let options = DemangleOptions::new().recursion_limit(RECURSION_LIMIT);
    let options = if with_parameters { options } else { options.no_params().no_return_type() };
    cpp_demangle::Symbol::new(symbol).ok()?.demangle_with_options(&options).ok()
}

/// Rust's newer mangling has `<app::Cart>::close` for what people, and its older one, call `app::Cart::close`. A
/// trait's method (`<app::Cart as Drop>::drop`) stays as it is.
fn without_brackets(name: String) -> String {
    let Some(inner) = name.strip_prefix('<') else { return name };
    let mut open = 1;
    let close = inner.find(|c| {
        open += i32::from(c == '<') - i32::from(c == '>');
        open == 0
    });
    match close.map(|close| inner.split_at(close)) {
        Some((kind, rest)) if !kind.contains(" as ") => format!("{kind}{}", &rest[1..]),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::{path, signature, without_brackets};

    #[test]
    fn a_type_s_own_method_has_no_brackets() {
        let plain = |name: &str| without_brackets(name.to_owned());
        assert_eq!(plain("<app::Cart>::close"), "app::Cart::close");
        assert_eq!(plain("<app::List<u8>>::push"), "app::List<u8>::push");
        for same in ["app::close", "<app::Cart as core::ops::Drop>::drop", "<broken"] {
            assert_eq!(plain(same), same);
        }
    }

    #[test]
    fn drops_parameters_and_hashes() {
        assert_eq!(path("_ZN2ns5Klass6methodEi").as_deref(), Some("ns::Klass::method"));
        assert_eq!(signature("_ZN2ns5Klass6methodEi").as_deref(), Some("ns::Klass::method(int)"));
        let legacy = "_ZN3app6handle17h0123456789abcdefE";
        assert_eq!(path(legacy).as_deref(), Some("app::handle"));
        assert_eq!(path("_RNvCs1234_3app6handle").as_deref(), Some("app::handle"));
        assert_eq!(path("malloc"), None);
        assert_eq!(path("_Znonsense"), None);
    }
}
