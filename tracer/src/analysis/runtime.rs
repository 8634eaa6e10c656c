//! The C++ and Rust standard libraries, by source file and by name.

use super::cpp_name::{first_segment, self_type};

/// Namespaces and crates of the standard libraries.
const RUNTIMES: [&str; 8] =
    ["std", "core", "alloc", "hashbrown", "__gnu_cxx", "__cxxabiv1", "__rustc", "proc_macro"];

/// Libraries that are built into `std`, and stay what they are when a user builds them again.
const CONTAINERS: [&str; 1] = ["hashbrown"];

/// Whether a source file belongs to a standard library.
pub(super) fn is_runtime_file(file: &str) -> bool {
    file.starts_with("/rustc/")
        || file.starts_with("/rust/deps/")
        || file.contains("/rustlib/src/rust/")
        || file.contains("/include/c++/")
        || file.contains("/libstdc++-v3/")
        || is_packaged_rust(file)
}

/// `/usr/src/rustc-1.63.0/library/alloc/src/…`: how distributions build theirs.
fn is_packaged_rust(file: &str) -> bool {
    file.find("/library/").is_some_and(|at| {
        file[..at].rsplit('/').next().is_some_and(|package| package.starts_with("rust"))
    })
}

/// Whether a function is part of a standard library. With `located`, its source file is known and is not
/// one of a standard library; then only its being a container of `std` says so.
///
/// `name` is without return type and parameters.
pub(super) fn is_runtime_function(name: &str, located: bool) -> bool {
    if let Some((of, implements)) = self_type(name) {
        let of = bare_type(of);
        return match implements {
            Some(implements) if is_global_alloc(implements) => true,
            _ if located => CONTAINERS.contains(&first_segment(of)),
            // A trait of the standard library for one of its types, or for every type.
            Some(implements) => {
                RUNTIMES.contains(&first_segment(implements))
                    && (is_runtime_path(of) || !of.contains("::"))
            }
            None => is_runtime_path(of),
        };
    }
    if name.starts_with("__cxa_") {
        return true;
    }
    if located { CONTAINERS.contains(&first_segment(name)) } else { is_runtime_path(name) }
}

fn is_runtime_path(path: &str) -> bool {
    let first = first_segment(path);
    RUNTIMES.contains(&first) && path.len() > first.len()
}

/// A user's `GlobalAlloc` is the allocator.
fn is_global_alloc(implements: &str) -> bool {
    first_segment(implements) == "core"
        && implements.rsplit("::").next().is_some_and(|last| last == "GlobalAlloc")
}

/// A type without what may stand before its path.
fn bare_type(of: &str) -> &str {
    let mut of = of;
    loop {
        let before = of;
        for prefix in ["&", "*const ", "*mut ", "mut ", "dyn ", "(dyn ", "["] {
            of = of.strip_prefix(prefix).unwrap_or(of).trim_start();
        }
        if of.len() == before.len() {
            return of;
        }
    }
}
