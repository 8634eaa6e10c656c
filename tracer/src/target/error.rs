//! Why a process can't be traced, and what to do about it.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::units::Pid;

/// An error about the target.
#[derive(Debug, Error)]
pub enum TargetError {
    /// There is no such process.
    #[error("no process {pid}; it may have ended: check with `ps -p {pid}`")]
    Gone {
        /// What was asked for.
        pid: Pid,
    },
    /// `/proc` shows another numbering of processes than the one that system calls understand.
    #[error(
        "/proc belongs to another pid namespace than memtrace; run `mount -t proc proc /proc` in a mount namespace of your own (as `unshare --mount-proc` does), or run memtrace outside"
    )]
    ForeignProc,
    /// It has no program of its own.
    #[error("process {pid} is a kernel thread or a zombie and has no memory of its own to trace")]
    NoProgram {
        /// What was asked for.
        pid: Pid,
    },
    /// A thread that is not its process's first.
    #[error("{pid} is a thread of process {process}; use --pid {process}")]
    Thread {
        /// What was asked for.
        pid: Pid,
        /// The process that it belongs to.
        process: Pid,
    },
    /// We must not look at it.
    #[error("process {pid} may not be inspected; run memtrace as root")]
    Permission {
        /// What was asked for.
        pid: Pid,
    },
    /// Tracing ourselves would feed on itself.
    #[error("process {pid} is this memtrace itself, which can't be traced; name another process")]
    Ourselves {
        /// What was asked for.
        pid: Pid,
    },
    /// Not a 64-bit x86 program.
    #[error("{} is not a 64-bit x86 program; memtrace can trace no other kind yet", path.display())]
    NotX86_64 {
        /// The program.
        path: PathBuf,
    },
    /// This kernel would kill it for returning from a probed function.
    #[error(
        "process {pid} has a seccomp filter, and this kernel ({release}) kills such a process when a return probe is hit, unless the filter allows system call 335; update to 6.12.14, 6.13.3 or 6.14, or use --allow-seccomp if the filter is known to allow it"
    )]
    SeccompWouldKill {
        /// The target.
        pid: Pid,
        /// What `uname -r` says.
        release: String,
    },
    /// This kernel's return probes break its shadow stack.
    #[error(
        "process {pid} runs with a shadow stack, which return probes break on this kernel ({release}): it would be killed; update to 6.11 or newer, or start it with GLIBC_TUNABLES=glibc.cpu.hwcaps=-SHSTK"
    )]
    ShadowStack {
        /// The target.
        pid: Pid,
        /// What `uname -r` says.
        release: String,
    },
    /// The command does not exist.
    #[error("{}: command not found", command.display())]
    CommandNotFound {
        /// What was asked for.
        command: PathBuf,
    },
    /// The command can't be run.
    #[error("{}: can't be executed", command.display())]
    CommandNotExecutable {
        /// What was asked for.
        command: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Something about a process failed that has no reason to.
    #[error("process {pid}: {action} failed")]
    Io {
        /// Whose.
        pid: Pid,
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The user that `sudo` names is not known.
    #[error(
        "the user that called sudo can't be looked up; use --as-root to run the command as root"
    )]
    UnknownUser,
}

impl TargetError {
    /// Wraps what `/proc` or a system call answered about `pid`.
    pub(crate) fn io(pid: Pid, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::NotFound => Self::Gone { pid },
            _ if source.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                Self::Gone { pid }
            }
            io::ErrorKind::PermissionDenied => Self::Permission { pid },
            _ => Self::Io { pid, action, source },
        }
    }
}
