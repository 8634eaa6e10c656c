//! Whether an object can be named, without reading its debug information. `memtrace doctor` asks.

use std::path::PathBuf;

use super::{SourceRoot, debug_file, elf::Elf, root::reopen};
use crate::target::Module;

/// Where the debug information of an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DebugInfo {
    /// In the object itself.
    Inside,
    /// In a file of its own, which was found.
    Separate,
    /// Nowhere.
    Absent {
        /// Whether it has a symbol table beside the exported symbols.
        has_symbols: bool,
        /// Where a file for it would be looked for, in order.
        looked_for: Vec<PathBuf>,
    },
    /// The object can't be read.
    Unreadable,
}

/// Looks for the debug information of one object, where symbolizing would.
pub fn debug_info(module: &Module, roots: &[SourceRoot]) -> DebugInfo {
    let file = module.file.as_ref().and_then(|file| reopen(file).ok());
    let Some(elf) = file.and_then(|file| Elf::read(file).ok()) else {
        return DebugInfo::Unreadable;
    };
    if elf.has_debug_info {
        return DebugInfo::Inside;
    }
    let separate = debug_file::find(&elf, &module.path, roots);
    if separate.as_ref().is_some_and(|found| found.elf.has_debug_info) {
        return DebugInfo::Separate;
    }
    let has_symbols = elf.has_symtab || separate.is_some_and(|found| found.elf.has_symtab);
    DebugInfo::Absent { has_symbols, looked_for: debug_file::places(&elf, &module.path) }
}
