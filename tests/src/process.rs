//! Looking at a process from outside, through `/proc`.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::PathBuf,
};

use anyhow::{Context as _, Result};

/// When a process was started, in clock ticks since boot: the same pid with another start is another
/// process.
///
/// # Errors
///
/// Where there is no such process.
pub fn start_time(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name that may have blanks and parentheses in it; the start is the 22nd.
    let (_, after_name) = stat.rsplit_once(')').context("no name in stat")?;
    Ok(after_name.split_whitespace().nth(19).context("stat is too short")?.parse()?)
}

/// Bytes of its memory.
///
/// # Errors
///
/// Where it has nothing there.
pub fn bytes_at(pid: u32, address: u64, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    File::open(format!("/proc/{pid}/mem"))?.read_exact_at(&mut bytes, address)?;
    Ok(bytes)
}

/// An executable mapping of the object whose file name begins so: where it is, its offset in the file, its
/// length, and the file.
///
/// # Errors
///
/// Where the process has none.
pub fn mapped_object(pid: u32, name: &str) -> Result<(u64, u64, usize, PathBuf)> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    for line in maps.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [range, permissions, offset, _, _, path] = fields[..] else { continue };
        let path = PathBuf::from(path);
        let named = path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name));
        if !named || !permissions.contains('x') {
            continue;
        }
        let (start, end) = range.split_once('-').context("no range")?;
        let (start, end) = (u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?);
        return Ok((start, u64::from_str_radix(offset, 16)?, usize::try_from(end - start)?, path));
    }
    anyhow::bail!("process {pid} has no {name} mapped")
}
