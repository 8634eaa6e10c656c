//! One line of a call stack, as reports show it.

use serde::Serialize;

/// What a frame's code was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Machine code.
    Native,
    /// A frame of the Python interpreter.
    Python,
}

/// One frame. Inlined functions have frames of their own, with `inlined` set, before (inside of) the
/// function they were inlined into.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Demangled name, if the object has a symbol for the address.
    pub function: Option<String>,
    /// Path of the mapped object, or `[unknown]`.
    pub module: String,
    /// Address by the object's own headers; the return address itself, not the call before it. 0 for Python.
    pub address: u64,
    /// Bytes from the function's first one to `address`, or where the compiler split the function, from its
    /// part's first one; 0 without a function, and for an inlined one. For Python in its bytecode.
    pub offset: u64,
    /// Source file, as the debug information names it, directory and all.
    pub file: Option<String>,
    /// Line of the call in `file`, from 1.
    pub line: Option<u32>,
    /// The text of that line, trimmed, at most 200 characters, if the file could be read. None if it was
    /// changed after the object was written: then it may not be what was compiled.
    pub source: Option<String>,
    /// Whether the function was inlined here.
    pub inlined: bool,
    /// What the code was written for.
    pub language: Language,
}
