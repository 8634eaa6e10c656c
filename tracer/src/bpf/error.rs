//! What can go wrong between us and the kernel, with the remedy in the text.

use std::{io, path::PathBuf};

use rustix::io::Errno;
use thiserror::Error;

use super::PythonObstacle;

/// An error of the kernel side.
#[derive(Debug, Error)]
pub enum BpfError {
    /// The kernel refused for want of privilege.
    #[error(
        "no permission to load eBPF programs and set probes; run memtrace as root (or with CAP_SYS_ADMIN and CAP_SYS_PTRACE)"
    )]
    Permission,
    /// The kernel lacks something that memtrace can't do without.
    #[error("this kernel ({release}) is too old; memtrace needs Linux 5.15 or newer")]
    KernelTooOld {
        /// What `uname -r` says.
        release: String,
    },
    /// Something else about loading.
    #[error("the kernel refused memtrace's eBPF object; `memtrace -vv` shows its reasons")]
    Load(#[source] Box<aya::EbpfError>),
    /// A program of the object could not be loaded or run.
    #[error("eBPF program {program}: {action} failed")]
    Program {
        /// The program's name.
        program: &'static str,
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        #[source]
        source: Box<aya::programs::ProgramError>,
    },
    /// A probe could not be set.
    #[error("could not probe {function} in {}; setting probes needs CAP_SYS_ADMIN, and a container may forbid it all the same: see `memtrace doctor`", path.display())]
    Attach {
        /// The function.
        function: String,
        /// The object that it is in.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: Box<aya::programs::ProgramError>,
    },
    /// The object lacks something that the sources have: a bug in the build.
    #[error(
        "the eBPF object has no {name}; it doesn't belong to this memtrace: run `cargo xtask build-ebpf`"
    )]
    Missing {
        /// A map's or program's name.
        name: &'static str,
    },
    /// A map could not be read or written.
    #[error("eBPF map {map}: access failed")]
    Map {
        /// The map's name.
        map: &'static str,
        /// The kernel's answer.
        #[source]
        source: aya::maps::MapError,
    },
    /// Python's frames can't be found here.
    #[error("no Python frames")]
    Python {
        /// Why.
        #[source]
        source: PythonObstacle,
    },
    /// An interpreter's structures are not laid out as any that is known.
    #[error(
        "the Python interpreter lays out its frames in a way that memtrace doesn't know; its stacks are native: report its version"
    )]
    PythonOffsets,
    /// There is no room for another unwind table.
    #[error(
        "all {most} unwind tables are in use; stacks end in objects that come later, unless these keep frame pointers: restart memtrace to begin anew"
    )]
    TablesFull {
        /// How many there are.
        most: u32,
    },
    /// There is no room for another handle to a map.
    #[error("no file descriptor is left for the unwind tables; raise the limit: `ulimit -n`")]
    Descriptor(#[source] io::Error),
}

impl BpfError {
    /// Wraps a map error with the map's name.
    pub(super) fn map(map: &'static str) -> impl FnOnce(aya::maps::MapError) -> Self {
        move |source| Self::Map { map, source }
    }

    /// Wraps a program error with the program's name.
    pub(super) fn program(
        program: &'static str,
        action: &'static str,
    ) -> impl FnOnce(aya::programs::ProgramError) -> Self {
        move |source| {
            if is_permission(&source) && !is_refusal(&source) {
                Self::Permission
            } else {
                Self::Program { program, action, source: source.into() }
            }
        }
    }

    /// Sorts out what kept the object from loading.
    pub(super) fn load(source: aya::EbpfError) -> Self {
        if is_permission(&source) { Self::Permission } else { Self::Load(Box::new(source)) }
    }
}

/// Whether the verifier did not accept a program, for which the kernel often has the same number as for a lack of rights.
fn is_refusal(error: &aya::programs::ProgramError) -> bool {
    matches!(error, aya::programs::ProgramError::LoadError { io_error, .. }
        if io_error.raw_os_error() == Some(Errno::ACCESS.raw_os_error()))
}

fn is_permission(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::PermissionDenied)
}
