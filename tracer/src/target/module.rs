//! Mapped files, kept open so that their addresses can be symbolized after an unmap or an exit.

use std::{fs::File, path::PathBuf, sync::Arc};

use crate::units::ElfAddr;

/// Names a [`Module`] within one run. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(pub u32);

/// One mapped ELF object.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its name in this run.
    pub id: ModuleId,
    /// Its path as the target sees it; also what reports show.
    pub path: PathBuf,
    /// The very inode that is mapped. `None` for what has no file, such as the vDSO.
    pub file: Option<Arc<File>>,
}

/// A frame of Python's, by its number in a run's table of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PythonFrameId(pub u32);

/// A code address, normalised while the process that it came from was alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// In a mapped object; a return address.
    InModule(ModuleId, ElfAddr),
    /// In a mapped object; the instruction that a signal came in at.
    Interrupted(ModuleId, ElfAddr),
    /// Outside every mapping that we know of; the address as it was in the process.
    Unmapped(u64),
    /// In Python.
    Python(PythonFrameId),
}
