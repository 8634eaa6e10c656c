//! Addresses become functions, files and lines. The only place that names blazesym.
//!
//! Everything here is read from files that the target controls, so each step distrusts the one before:
//! [`SourceRoot`] opens files without leaving the target's root, `image` copies the few ELF sections that
//! matter into memory that nobody can truncate, `guard` turns a panic over corrupt debug information into a
//! missing answer, and `text` keeps control characters out of reports.

mod crc;
mod debug_file;
mod demangle;
mod elf;
mod frame;
mod guard;
mod image;
mod object;
mod resolver;
mod root;
mod source_lines;
mod survey;
mod symbolizer;
mod text;

#[cfg(test)]
mod tests;

pub use frame::{Frame, Language};
pub(crate) use guard::quietly;
pub use root::{SourceRoot, SourceRootError};
pub(crate) use source_lines::SourceLines;
pub use survey::{DebugInfo, debug_info};
pub use symbolizer::Symbolizer;
pub(crate) use text::{MAX_NAME, clean};
