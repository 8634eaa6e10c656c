//! Taking a demangled C++ or Rust name apart.

/// The qualified name alone: without the return type that demanglers print for template functions, and
/// without the parameters. `void std::sort<int*>(int*, int*)` → `std::sort<int*>`.
pub(super) fn qualified(function: &str) -> &str {
    if let Some(at) = top_level_operator(function) {
        let start = start_of_name(&function[..at]);
        return &function[start..];
    }
    let end = end_of_name(function);
    &function[start_of_name(&function[..end])..end]
}

/// The first part of a path, without a crate's hash: `alloc[3f2a]::vec` → `alloc`.
pub(super) fn first_segment(name: &str) -> &str {
    let end = name.find(['[', ':', '<', '(']).unwrap_or(name.len());
    &name[..end]
}

/// The part after the last `::` outside of angle brackets.
pub(super) fn last_segment(name: &str) -> &str {
    let mut depth = Depth::default();
    let mut start = 0;
    for (at, c) in name.char_indices() {
        depth.step(name, at, c);
        if depth.is_zero() && name[at..].starts_with("::") {
            start = at + 2;
        }
    }
    &name[start..]
}

/// Splits `<Type as Trait>::method` or `<Type>::method` into the type and the trait.
pub(super) fn self_type(name: &str) -> Option<(&str, Option<&str>)> {
    let inside = name.strip_prefix('<')?;
    let mut depth = Depth { open: 1 };
    let mut split = None;
    for (at, c) in inside.char_indices() {
        if depth.open == 1 && split.is_none() && inside[at..].starts_with(" as ") {
            split = Some(at);
        }
        depth.step(inside, at, c);
        if depth.is_zero() {
            return Some(match split {
                Some(split) => (&inside[..split], Some(&inside[split + 4..at])),
                None => (&inside[..at], None),
            });
        }
    }
    None
}

/// Where an `operator…` begins, if the name itself (not a template argument) is one.
fn top_level_operator(function: &str) -> Option<usize> {
    let mut depth = Depth::default();
    for (at, c) in function.char_indices() {
        let begins = at == 0 || function[..at].ends_with([':', ' ', '*', '&']);
        if depth.is_zero() && begins && function[at..].starts_with("operator") {
            let next = function[at + "operator".len()..].chars().next();
            if next.is_none_or(|c| !c.is_alphanumeric() && c != '_') {
                return Some(at);
            }
        }
        depth.step(function, at, c);
    }
    None
}

fn end_of_name(function: &str) -> usize {
    let mut depth = Depth::default();
    for (at, c) in function.char_indices() {
        let parameters = c == '('
            && depth.is_zero()
            && at > 0
            && !function[at..].starts_with("(anonymous")
            && !function[..at].ends_with("decltype ")
            && !function[..at].ends_with("decltype");
        if parameters {
            return at;
        }
        depth.step(function, at, c);
    }
    function.len()
}

fn start_of_name(name: &str) -> usize {
    let mut depth = Depth::default();
    let mut start = 0;
    for (at, c) in name.char_indices() {
        depth.step(name, at, c);
        // After `)` it is a qualifier, as in `load() const::{lambda()#1}`.
        if depth.is_zero() && c == ' ' && !name[..at].ends_with(')') {
            start = at + 1;
        }
    }
    start
}

/// How deep within brackets a position is. `->` closes nothing.
#[derive(Default)]
struct Depth {
    open: i32,
}

impl Depth {
    fn step(&mut self, text: &str, at: usize, c: char) {
        match c {
            '<' | '(' | '[' | '{' => self.open += 1,
            '>' if text[..at].ends_with('-') => {}
            '>' | ')' | ']' | '}' => self.open -= 1,
            _ => {}
        }
    }

    fn is_zero(&self) -> bool {
        self.open == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{last_segment, qualified, self_type};

    #[test]
    fn names_lose_return_type_and_parameters() {
        for (function, name) in [
            ("malloc", "malloc"),
            ("operator new(unsigned long)", "operator new(unsigned long)"),
            ("app::Pool::operator new(unsigned long)", "app::Pool::operator new(unsigned long)"),
            ("void std::sort<int*>(int*, int*)", "std::sort<int*>"),
            (
                "std::vector<int, std::allocator<int> > app::make_table<int>(int)",
                "app::make_table<int>",
            ),
            ("(anonymous namespace)::load(char const*)", "(anonymous namespace)::load"),
            (
                "void app::load() const::{lambda(int)#1}::operator()(int) const",
                "app::load() const::{lambda(int)#1}::operator()(int) const",
            ),
            ("alloc::vec::Vec<T,A>::push", "alloc::vec::Vec<T,A>::push"),
            (
                "core::ops::function::FnOnce<fn() -> u8>::call",
                "core::ops::function::FnOnce<fn() -> u8>::call",
            ),
            ("", ""),
        ] {
            assert_eq!(qualified(function), name, "{function}");
        }
    }

    #[test]
    fn impl_blocks_split_into_type_and_trait() {
        assert_eq!(
            self_type("<app::Foo as core::fmt::Display>::fmt"),
            Some(("app::Foo", Some("core::fmt::Display")))
        );
        assert_eq!(
            self_type("<<T as app::Has>::Item as core::fmt::Debug>::fmt"),
            Some(("<T as app::Has>::Item", Some("core::fmt::Debug")))
        );
        assert_eq!(self_type("<app::Foo>::new"), Some(("app::Foo", None)));
        assert_eq!(self_type("app::new"), None);
        assert_eq!(self_type("<broken"), None);
    }

    #[test]
    fn the_last_segment_ignores_arguments() {
        assert_eq!(last_segment("__rustc[5224e6b8]::__rust_alloc"), "__rust_alloc");
        assert_eq!(last_segment("a::b<c::d>"), "b<c::d>");
    }
}
