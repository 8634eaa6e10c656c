//! The archive that a kernel unpacks into its first file system: cpio in the "newc" form
//! (`Documentation/driver-api/early-userspace/buffer-format.rst` in the kernel's sources).

use std::collections::BTreeMap;
use std::path::Path;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// Files by path, without a leading `/`. In sorted order a folder comes before what is in it, as it must.
#[derive(Default)]
pub(super) struct Archive(BTreeMap<String, (u32, Vec<u8>)>);

impl Archive {
    /// Adds a folder and those above it.
    pub(super) fn folder(&mut self, path: &str) {
        let ancestors =
            Path::new(path).ancestors().map(|folder| folder.to_string_lossy().into_owned());
        for folder in ancestors.filter(|folder| !folder.is_empty()) {
            self.0.insert(folder, (FOLDER, Vec::new()));
        }
    }

    /// Adds an executable file, which a library may be as well.
    pub(super) fn program(&mut self, path: &str, content: Vec<u8>) {
        self.add(path, PROGRAM, content);
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, path: &str, to: &str) {
        self.add(path, LINK, to.into());
    }

    /// The archive's bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for ((path, (mode, content)), number) in self.0.iter().zip(1..) {
            entry(&mut bytes, number, path, *mode, content);
        }
        entry(&mut bytes, 0, "TRAILER!!!", 0, &[]);
        bytes
    }

    fn add(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        let path = path.trim_start_matches('/');
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder);
        }
        self.0.insert(path.to_owned(), (mode, content));
    }
}

/// A header of thirteen hexadecimal numbers, the name, the content; both end on a multiple of four.
fn entry(bytes: &mut Vec<u8>, number: u32, path: &str, mode: u32, content: &[u8]) {
    let (size, name_size) = (content.len() as u32, path.len() as u32 + 1);
    bytes.extend(b"070701");
    // Number, mode, user, group, links, time, size, device (2), its own device (2), size of the name, checksum.
    for field in [number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
        bytes.extend(format!("{field:08x}").bytes());
    }
    bytes.extend(path.bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_first_and_all_is_aligned() {
        let mut archive = Archive::default();
        archive.program("/lib/deep/library.so", b"12345".to_vec());
        archive.link("lib/a", "deep");
        let bytes = archive.bytes();
        let text = String::from_utf8_lossy(&bytes);
        let places: Vec<_> =
            ["lib\0", "lib/a\0", "lib/deep\0", "lib/deep/library.so\0", "TRAILER!!!\0"]
                .map(|name| text.find(name))
                .into();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
        assert_eq!(bytes.len() % 4, 0);
        assert!(text.match_indices("070701").all(|(place, _)| place % 4 == 0), "{text}");
        assert!(text.contains("00000005"), "the size of what is in the file");
    }
}
