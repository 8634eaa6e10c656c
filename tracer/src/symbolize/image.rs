//! A private copy of the sections that symbolizing needs.
//!
//! blazesym maps files into memory, and reading a map of a file that somebody truncates is a `SIGBUS` that
//! nothing can catch; a deployment that overwrites a library in place is enough. So it gets a memory file: as
//! long as the original, the needed sections at their places, holes for the rest. In the copy the links to
//! other files have no name, so that blazesym follows none ([`super::debug_file`] does it, carefully).

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::PathBuf,
};

use rustix::fs::MemfdFlags;

use super::{
    elf::{Elf, Part},
    root::reopen,
};

/// Most bytes of DWARF, decompressed, that are taken in for all the objects of a run. They are copied, and
/// what blazesym builds of the units that it touches comes to as much again: at this limit 2.1 s and 1.1 GB
/// were measured with every unit touched, about what a tracer may cost beside a process of that size.
pub(super) const MAX_DEBUG: u64 = 512 << 20;
/// Most bytes of symbol tables that are taken in.
const MAX_SYMBOLS: u64 = 512 << 20;

/// The copy.
pub(super) struct Image {
    file: File,
    /// Whether the DWARF is in it.
    pub(super) has_debug: bool,
}

impl Image {
    /// Copies what is needed out of the file that `elf` was read from. Fails on an I/O fault, and on symbol
    /// tables that are too large to be real. DWARF is left out if it is larger than `room`, bytes; what is
    /// taken in is subtracted from that.
    pub(super) fn copy(file: impl AsFd, elf: &Elf, room: &mut u64) -> io::Result<Self> {
        let mut from = reopen(&file.as_fd())?;
        if total(&elf.symbols) > MAX_SYMBOLS {
            return Err(io::Error::other("its symbol tables are too large"));
        }
        let size = elf.debug_bytes.max(total(&elf.debug));
        let has_debug = elf.has_debug_info && size <= *room;
        let memory: OwnedFd = rustix::fs::memfd_create("memtrace-symbols", MemfdFlags::CLOEXEC)?;
        let mut to = File::from(memory);
        to.set_len(elf.len)?;
        let debug = if has_debug { elf.debug.as_slice() } else { &[] };
        for part in elf.symbols.iter().chain(debug) {
            copy_part(&mut from, &mut to, *part)?;
        }
        for header in &elf.hidden {
            to.seek(SeekFrom::Start(*header))?;
            to.write_all(&[0; 4])?; // sh_name, the first field: the empty name
        }
        if has_debug {
            *room -= size;
        }
        Ok(Self { file: to, has_debug })
    }

    /// A path that leads to the copy while it lives.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }
}

fn total(parts: &[Part]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.size))
}

fn copy_part(from: &mut File, to: &mut File, part: Part) -> io::Result<()> {
    from.seek(SeekFrom::Start(part.offset))?;
    to.seek(SeekFrom::Start(part.offset))?;
    io::copy(&mut from.take(part.size), to)?;
    Ok(())
}
