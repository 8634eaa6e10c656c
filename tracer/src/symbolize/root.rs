//! Opens files as the target sees them, without trusting the names it gives.

use std::{
    fs::File,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use crate::units::Pid;

/// File systems whose files are answers from the kernel, not stored text: procfs, sysfs, debugfs, tracefs,
/// securityfs (`linux/magic.h`).
const SYNTHETIC: [u64; 5] = [0x9fa0, 0x6265_6572, 0x6462_6720, 0x7472_6163, 0x7363_6673];

/// Where the target's files are read: its root directory, held open from while it lived.
///
/// No name leads out of it (`openat2` with `RESOLVE_IN_ROOT`), only regular files are opened, and of these
/// only what everybody or the target's own user may read: a report must not quote what the target could
/// not have read itself. Cheap to clone. Minimum kernel: 5.6.
#[derive(Clone, Debug)]
pub struct SourceRoot(Arc<Root>);

#[derive(Debug)]
struct Root {
    dir: OwnedFd,
    /// Whose private files may be read.
    uid: u32,
}

/// Why a root directory could not be held.
#[derive(Debug, thiserror::Error)]
pub enum SourceRootError {
    /// The process is gone, or its status is not ours to read.
    #[error("cannot read the status of pid {pid}")]
    Status {
        /// The process.
        pid: Pid,
        /// What procfs said.
        #[source]
        source: procfs::ProcError,
    },
    /// The directory cannot be opened.
    #[error("cannot open the root directory {path}")]
    Open {
        /// The directory.
        path: String,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
}

impl SourceRoot {
    /// The root of a running process. Needs the same rights as tracing it; valid after the process is gone.
    pub fn of_process(pid: Pid) -> Result<Self, SourceRootError> {
        let status = procfs::process::Process::new(pid.0.cast_signed())
            .and_then(|process| process.status())
            .map_err(|source| SourceRootError::Status { pid, source })?;
        Self::open(Path::new(&format!("/proc/{pid}/root")), status.euid)
    }

    /// Any directory as the root; files that only `uid` may read are readable too.
    pub fn at(dir: &Path, uid: u32) -> Result<Self, SourceRootError> {
        Self::open(dir, uid)
    }

    fn open(path: &Path, uid: u32) -> Result<Self, SourceRootError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|source| SourceRootError::Open { path: path.display().to_string(), source })?;
        Ok(Self(Arc::new(Root { dir, uid })))
    }

    /// Opens a regular file for reading. The name is resolved first without opening anything (`O_PATH`),
    /// because opening a device or a FIFO alone can have effects.
    pub(super) fn open_regular(&self, path: &Path) -> Result<File, Errno> {
        let found = rustix::fs::openat2(
            &self.0.dir,
            path,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )?;
        let stat = rustix::fs::fstat(&found)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL);
        }
        let mode = Mode::from_raw_mode(stat.st_mode);
        let own = stat.st_uid == self.0.uid && mode.contains(Mode::RUSR);
        if !own && !mode.contains(Mode::ROTH) {
            return Err(Errno::ACCESS);
        }
        if SYNTHETIC.contains(&rustix::fs::fstatfs(&found)?.f_type.cast_unsigned()) {
            return Err(Errno::INVAL);
        }
        reopen(&found)
    }
}

/// A second, independent opening of a file that is open already, whatever its name leads to by now.
pub(super) fn reopen(file: &impl AsRawFd) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map(File::from)
}
