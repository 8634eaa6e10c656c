//! Why objects can't be counted in a process that runs.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{
    sites::TableError,
    units::{Addr, Pid},
};

/// Why what `--python-objects` asks for can't be had of a process, and what can be done instead.
#[derive(Debug, Error)]
pub enum PythonObjectsError {
    /// It is not Python.
    #[error(
        "--python-objects {how}: process {pid} has no CPython interpreter mapped; leave the option out, or trace the process that has one"
    )]
    NoInterpreter {
        /// The option's value.
        how: &'static str,
        /// The target.
        pid: Pid,
    },
    /// The tables were not found.
    #[error("--python-objects exact: {}: {source}; {}", path.display(), REMEDY)]
    NoTable {
        /// The interpreter.
        path: PathBuf,
        /// What is wrong with its code.
        source: TableError,
    },
    /// The tables can't be read in the process.
    #[error("--python-objects exact: the allocator table of {} can't be read; {}", path.display(), REMEDY)]
    Unreadable {
        /// The interpreter.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What the tables have is no function.
    #[error(
        "--python-objects exact: the allocator table of {} leads to {:#x}, where no function of a mapped object begins; {}",
        path.display(), address, REMEDY
    )]
    NoFunction {
        /// The interpreter.
        path: PathBuf,
        /// What stands in the table.
        address: Addr,
    },
    /// Some of its code does the functions' work itself.
    #[error(
        "--python-objects exact: the code of {} makes and frees objects in {places} places without calling its allocator, as its compiler had a profile; {}",
        path.display(), REMEDY
    )]
    Bypassed {
        /// The interpreter.
        path: PathBuf,
        /// How many.
        places: usize,
    },
}

/// What is always possible.
const REMEDY: &str = "start it with PYTHONMALLOC=malloc in its environment, or trace it with --python-objects classes, by size class";
