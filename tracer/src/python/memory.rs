//! The target's memory.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use crate::{target::TargetError, units::Pid};

/// An address space, held open: of a process that has ended or replaced its image nothing is read any more, and never
/// another's memory in its stead.
#[derive(Debug)]
pub struct Memory(File);

impl Memory {
    /// The memory of a process. Needs the rights to trace it.
    ///
    /// # Errors
    ///
    /// Where the process has ended, or may not be read.
    pub fn of_process(pid: Pid) -> Result<Self, TargetError> {
        let opened = File::open(format!("/proc/{pid}/mem"));
        opened.map(Self).map_err(TargetError::io(pid, "opening its memory"))
    }

    /// Fills all of `bytes` from `address` on.
    ///
    /// # Errors
    ///
    /// Where some of it is not mapped, or the process is gone.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        // The kernel takes positions as signed numbers, and there is nothing of the target's in the upper half.
        if address.checked_add(bytes.len() as u64).is_none_or(|end| end > i64::MAX as u64) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.0.read_exact_at(bytes, address)
    }

    /// Fills `bytes` from `address` on, as far as memory is mapped; how many it filled, 0 where the process is gone.
    pub fn read_some(&self, address: u64, bytes: &mut [u8]) -> usize {
        let mut filled = 0;
        // The kernel hands out so much at a time, and takes positions as signed numbers.
        while let Some(at) =
            address.checked_add(filled as u64).filter(|at| i64::try_from(*at).is_ok())
            && let Ok(read @ 1..) = self.0.read_at(&mut bytes[filled..], at)
        {
            filled += read;
        }
        filled
    }

    pub(super) fn array<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.read(address, &mut bytes).ok()?;
        Some(bytes)
    }

    pub(super) fn u64(&self, address: u64) -> Option<u64> {
        self.array(address).map(u64::from_le_bytes)
    }

    pub(super) fn u32(&self, address: u64) -> Option<u32> {
        self.array(address).map(u32::from_le_bytes)
    }

    pub(super) fn u8(&self, address: u64) -> Option<u8> {
        self.array(address).map(u8::from_le_bytes)
    }

    pub(super) fn bytes(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.read(address, &mut bytes).ok()?;
        Some(bytes)
    }
}
