//! How much of a process's memory is resident, exactly: asked of the page tables, so it costs the process a lock for
//! some milliseconds a GiB.

use std::{fs::File, os::unix::fs::FileExt as _};

use super::Process;

const PAGE: u64 = 4096;

/// An entry of `/proc/PID/pagemap`, and the bit that says that the page is there.
const ENTRY: usize = size_of::<u64>();
const PRESENT: u64 = 1 << 63;

/// Entries that are read at a time: a page table's worth of 2 MiB, sixteen times.
const AT_ONCE: u64 = 512 * 16;

impl Process {
    /// All resident memory, and what of it is of no file, in bytes; `None` once it has ended, and on kernels without
    /// `smaps_rollup`.
    pub fn exact_rss(&self) -> Option<(u64, u64)> {
        let rollup = procfs::process::Process::new(self.pid().0.cast_signed())
            .and_then(|process| process.smaps_rollup())
            .ok()?;
        let sums = rollup.memory_map_rollup.into_iter().next()?.extension.map;
        Some((*sums.get("Rss")?, *sums.get("Anonymous")?))
    }

    /// The program break's heap, if it has one: first byte, and the byte after the last.
    pub fn heap_range(&self) -> Option<(u64, u64)> {
        let maps = procfs::process::Process::new(self.pid().0.cast_signed())
            .and_then(|process| process.maps())
            .ok()?;
        let heap = maps.into_iter().find(|map| map.pathname == procfs::process::MMapPath::Heap)?;
        Some(heap.address)
    }

    /// Which of its pages are resident; `None` once it has ended, or without the right to ask.
    pub fn pages(&self) -> Option<Pages> {
        File::open(format!("/proc/{}/pagemap", self.pid())).ok().map(Pages)
    }
}

/// `/proc/PID/pagemap`.
#[derive(Debug)]
pub struct Pages(File);

impl Pages {
    /// Resident bytes of whole pages from `start` to `end`; `None` where that can't be read.
    pub fn resident(&self, start: u64, end: u64) -> Option<u64> {
        let (mut page, last) = (start / PAGE, end / PAGE);
        let mut buffer = vec![0; ENTRY * AT_ONCE.min(last.saturating_sub(page)) as usize];
        let mut present = 0;
        while page < last {
            let wanted = ENTRY * AT_ONCE.min(last - page) as usize;
            let got = self.0.read_at(&mut buffer[..wanted], page * ENTRY as u64).ok()? / ENTRY;
            if got == 0 {
                return None;
            }
            let entries = buffer[..got * ENTRY].as_chunks::<ENTRY>().0;
            let here = entries.iter().filter(|entry| u64::from_ne_bytes(**entry) & PRESENT != 0);
            present += here.count() as u64;
            page += got as u64;
        }
        Some(present * PAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of our own memory: what was written to is there, what was only reserved is not.
    #[test]
    fn pages_that_were_touched_are_resident() {
        let pages = Pages(File::open("/proc/self/pagemap").expect("it is our own"));
        let len = 64 * PAGE as usize;
        let mut memory = Vec::<u8>::with_capacity(len * 3);
        let start = (memory.as_ptr() as u64).next_multiple_of(PAGE);
        memory.resize(len * 2, 1);
        let end = start + len as u64;
        assert_eq!(pages.resident(start, end), Some(len as u64));
        assert_eq!(pages.resident(0, PAGE), Some(0));
        assert_eq!(pages.resident(end, start), Some(0));
    }
}
