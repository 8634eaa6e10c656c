//! Finds the separate debug file of a stripped object.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Seek, SeekFrom},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{crc::crc32, elf::Elf, root::SourceRoot};

const DEBUG_DIR: &str = "/usr/lib/debug";

/// A debug file and its headers.
pub(super) struct DebugFile {
    pub(super) file: File,
    pub(super) elf: Elf,
}

/// Looks where gdb does: by build id below `/usr/lib/debug`, then by the name in `.gnu_debuglink` beside the
/// object (`module`, as the target sees it), in `.debug/` there, and in the same place below
/// `/usr/lib/debug`; first in the target's root, then in ours. A file counts only if it has the object's
/// build id, or where that has none, the CRC-32 of the link.
pub(super) fn find(elf: &Elf, module: &Path, roots: &[SourceRoot]) -> Option<DebugFile> {
    places(elf, module)
        .into_iter()
        .flat_map(|path| roots.iter().map(move |root| (root, path.clone())))
        .find_map(|(root, path)| root.open_regular(&path).ok().and_then(|file| matching(file, elf)))
}

/// The paths that [`find`] tries, in order.
pub(super) fn places(elf: &Elf, module: &Path) -> Vec<PathBuf> {
    by_build_id(elf).into_iter().chain(by_link(elf, module)).collect()
}

fn by_build_id(elf: &Elf) -> Option<PathBuf> {
    let hex =
        |bytes: &[u8]| bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let (first, rest) = elf.build_id.as_ref()?.split_at_checked(1)?;
    if rest.is_empty() {
        return None;
    }
    let (first, rest) = (hex(first), hex(rest));
    Some(format!("{DEBUG_DIR}/.build-id/{first}/{rest}.debug").into())
}

fn by_link(elf: &Elf, module: &Path) -> Vec<PathBuf> {
    let Some((name, _)) = &elf.debug_link else { return Vec::new() };
    let name = Path::new(OsStr::from_bytes(name));
    // The format has a bare name; anything else is an attempt to lead elsewhere.
    let (Some(dir), true) = (module.parent(), name.file_name() == Some(name.as_os_str())) else {
        return Vec::new();
    };
    let below = Path::new(DEBUG_DIR).join(dir.strip_prefix("/").unwrap_or(dir));
    vec![dir.join(name), dir.join(".debug").join(name), below.join(name)]
}

fn matching(mut file: File, elf: &Elf) -> Option<DebugFile> {
    let found = Elf::read(file.try_clone().ok()?).ok()?;
    let same = match (&elf.build_id, &elf.debug_link) {
        (Some(id), _) => found.build_id.as_ref() == Some(id),
        (None, Some((_, crc))) => {
            file.seek(SeekFrom::Start(0)).ok()?;
            crc32(&file).ok()? == *crc
        }
        (None, None) => false,
    };
    (same && (found.has_debug_info || found.has_symtab)).then_some(DebugFile { file, elf: found })
}
