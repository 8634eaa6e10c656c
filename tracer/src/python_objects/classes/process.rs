//! The memory of a process.

use std::io::IoSliceMut;

use nix::{
    sys::uio::{RemoteIoVec, process_vm_readv},
    unistd,
};
use procfs::process::{MMPermissions, MMapPath, Process};

use super::view::{PIECE, Ranges, View};
use crate::{python::Memory, target::TargetError, units::Pid};

/// Places that the kernel takes at once (`UIO_MAXIOV`).
const MOST_PLACES: usize = 1024;
/// Taken where the kernel doesn't tell how much was mapped: 64 GiB.
const PEAK: u64 = 64 << 30;

/// A process, as long as it has the image that it had when this was made.
#[derive(Debug)]
pub struct ProcessView {
    pid: Pid,
    memory: Memory,
}

impl ProcessView {
    /// Of a process. Needs the rights to trace it.
    ///
    /// # Errors
    ///
    /// Where it has ended, or may not be read.
    pub fn of(pid: Pid) -> Result<Self, TargetError> {
        Ok(Self { pid, memory: Memory::of_process(pid)? })
    }
}

impl View for ProcessView {
    fn read(&self, address: u64, bytes: &mut [u8]) -> usize {
        self.memory.read_some(address, bytes)
    }

    fn gather(&self, addresses: &[u64]) -> Vec<Option<[u8; PIECE]>> {
        let pid = unistd::Pid::from_raw(self.pid.0.cast_signed());
        let mut pieces = Vec::with_capacity(addresses.len());
        while let Some(rest) = addresses.get(pieces.len()..).filter(|rest| !rest.is_empty()) {
            let now = &rest[..rest.len().min(MOST_PLACES)];
            let mut bytes = vec![0; now.len() * PIECE];
            let remote: Vec<_> =
                now.iter().map(|&at| RemoteIoVec { base: at as usize, len: PIECE }).collect();
            let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &remote);
            let whole = &bytes.as_chunks::<PIECE>().0[..read.unwrap_or(0) / PIECE];
            pieces.extend(whole.iter().map(|piece| Some(*piece)));
            if whole.len() < now.len() {
                pieces.push(None); // the kernel stops where nothing is mapped
            }
        }
        pieces
    }

    fn anonymous(&self) -> Ranges {
        let maps = Process::new(self.pid.0.cast_signed()).and_then(|process| process.maps());
        let is_data = |path: &MMapPath| !matches!(path, MMapPath::Path(_) | MMapPath::Vdso);
        Ranges::joined(maps.iter().flatten().filter_map(|map| {
            let writable = map.perms.contains(MMPermissions::READ | MMPermissions::WRITE);
            (writable && is_data(&map.pathname)).then_some(map.address)
        }))
    }

    fn peak(&self) -> u64 {
        let status = Process::new(self.pid.0.cast_signed()).and_then(|process| process.status());
        status.ok().and_then(|status| status.vmpeak).map_or(PEAK, |kib| kib.saturating_mul(1024))
    }
}
