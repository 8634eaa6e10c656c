//! Why an object or a name gives no site.

use thiserror::Error;

/// Why an object gives no allocation sites.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SitesError {
    /// No ELF magic, or cut off within the headers.
    #[error("not an ELF object")]
    NotElf,
    /// An `ELFCLASS32` object.
    #[error("a 32-bit object: only x86-64 is supported")]
    Elf32,
    /// An object for another processor.
    #[error("an object for another machine (ELF machine {machine}): only x86-64 is supported")]
    OtherMachine {
        /// `e_machine`.
        machine: u16,
    },
    /// The object defines no allocation functions that symbols tell of.
    #[error("no allocator found{}", reason(*.is_static, *.go))]
    NoAllocator {
        /// No dynamic linker will load another object that could define one.
        is_static: bool,
        /// Built by the Go compiler, whose runtime has its own heap.
        go: bool,
    },
}

fn reason(is_static: bool, go: bool) -> &'static str {
    match (is_static, go) {
        (_, true) => ": a Go program, whose runtime allocates without malloc",
        (true, false) => ": a static executable without symbols for malloc and free",
        (false, false) => "",
    }
}

/// Why a function name gives no site.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FindError {
    /// The object itself can't be read.
    #[error(transparent)]
    Object(#[from] SitesError),
    /// Several functions go by that name.
    #[error("several functions are called `{name}`; name one of: {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// Raw symbol names, each followed by its demangled form in brackets if it has one; sorted.
        candidates: Vec<String>,
    },
    /// The symbol stands for whatever its resolver picks at run time.
    #[error("`{name}` is chosen at run time (IFUNC); name one of its implementations")]
    Resolver {
        /// What was asked for.
        name: String,
    },
    /// No function has that name.
    #[error("no function `{name}`{}", similar(near))]
    Unknown {
        /// What was asked for.
        name: String,
        /// At most five names that look like it, best first.
        near: Vec<String>,
    },
}

fn similar(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; similar names: {}", near.join(", ")) }
}
