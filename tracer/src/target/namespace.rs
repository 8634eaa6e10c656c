//! A process's own pid namespace: the one numbering of it that the kernel side can check, whichever
//! namespace memtrace and its target are in.

use std::{fs, os::unix::fs::MetadataExt as _};

use crate::units::Pid;

/// A pid namespace, and what it calls one process.
///
/// The kernel side asks for the current task's id in a given namespace, and gets an answer only where that is
/// the task's innermost one. So it is the target's own namespace that has to be named, not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidNamespace {
    /// Device of the namespace's file, as the kernel numbers it internally.
    pub device: u64,
    /// Inode of the namespace's file.
    pub inode: u64,
    /// The process's thread group id in there.
    pub tgid: u32,
}

impl PidNamespace {
    /// The innermost namespace of a process. `None` on a kernel without namespaces, where there is one
    /// numbering only.
    pub fn of(pid: Pid) -> Option<Self> {
        let metadata = fs::metadata(format!("/proc/{pid}/ns/pid")).ok()?;
        let status = procfs::process::Process::new(pid.0.cast_signed()).ok()?.status().ok()?;
        let tgid = innermost(&status.nspid?)?;
        Some(Self { device: kernel_device(metadata.dev()), inode: metadata.ino(), tgid })
    }
}

/// `NSpid` runs from the namespace of the reader's procfs inwards.
fn innermost(pids: &[i32]) -> Option<u32> {
    pids.last().and_then(|pid| u32::try_from(*pid).ok())
}

/// `MKDEV` of `linux/kdev_t.h`; `stat` gives the two numbers in another arrangement.
fn kernel_device(device: u64) -> u64 {
    (u64::from(rustix::fs::major(device)) << 20) | u64::from(rustix::fs::minor(device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pid_is_the_innermost() {
        assert_eq!(innermost(&[24_339, 17, 3]), Some(3));
        assert_eq!(innermost(&[]), None);
    }

    #[test]
    fn our_own_namespace_has_our_pid_or_a_smaller_one() {
        let pid = Pid(std::process::id());
        let own = PidNamespace::of(pid).expect("every Linux that can run this has namespaces");
        assert_eq!(own.tgid, pid.0, "tests read the procfs of their own namespace");
        assert!(own.inode > 0);
    }

    #[test]
    fn a_device_is_written_as_the_kernel_has_it() {
        assert_eq!(kernel_device(rustix::fs::makedev(0, 4)), 4);
        assert_eq!(kernel_device(rustix::fs::makedev(8, 300)), 0x0080_012c);
    }
}
