//! The checksum by which `.gnu_debuglink` names its file.

use std::{
    fs::File,
    io::{self, Read},
};

/// CRC-32 of the file from its current position on, as `.gnu_debuglink` counts it (gdb manual, "Separate
/// Debug Files").
pub(super) fn crc32(mut file: &File) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hasher.finalize()),
            n => hasher.update(&chunk[..n]),
        }
    }
}
