//! When source text is given, and when not.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::{Duration, SystemTime},
};

use crate::symbolize::{SourceRoot, source_lines::SourceLines};

struct Tree {
    dir: tempfile::TempDir,
    lines: SourceLines,
}

impl Tree {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.c"), "one\n\tint x = 2;  \r\n\n\x1b[2Jfour\nfive").unwrap();
        // Nobody's files are private to this id.
        let root = SourceRoot::at(dir.path(), u32::MAX).unwrap();
        Self { dir, lines: SourceLines::new(Some(root)) }
    }

    fn get(&mut self, path: &str, line: u32) -> Option<String> {
        let built = SystemTime::now() + Duration::from_secs(1);
        self.lines.get(Path::new(path), line, built)
    }
}

#[test]
fn lines_are_trimmed_and_harmless() {
    let mut tree = Tree::new();
    assert_eq!(tree.get("/a.c", 1).as_deref(), Some("one"));
    assert_eq!(tree.get("/a.c", 2).as_deref(), Some("int x = 2;"));
    assert_eq!(tree.get("/a.c", 3), None);
    assert_eq!(tree.get("/a.c", 4).as_deref(), Some("\u{fffd}[2Jfour"));
    assert_eq!(tree.get("/a.c", 5).as_deref(), Some("five"));
    assert_eq!(tree.get("/a.c", 6), None);
    assert_eq!(tree.get("/a.c", 0), None);
    assert_eq!(tree.get("a.c", 1), None);
    assert_eq!(tree.get("/rustc/0123/a.c", 1), None);
}

#[test]
fn a_file_changed_after_the_build_gives_nothing() {
    let mut tree = Tree::new();
    let built = SystemTime::now() - Duration::from_hours(1);
    assert_eq!(tree.lines.get(Path::new("/a.c"), 1, built), None);
    File::open(tree.dir.path().join("a.c")).and_then(|file| file.set_modified(built)).unwrap();
    let mut again = SourceLines::new(Some(SourceRoot::at(tree.dir.path(), u32::MAX).unwrap()));
    assert_eq!(again.get(Path::new("/a.c"), 1, built).as_deref(), Some("one"));
}

#[test]
fn no_name_leads_out_of_the_root() {
    let mut tree = Tree::new();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "secret").unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o644)).unwrap();
    symlink(outside.path(), tree.dir.path().join("link.c")).unwrap();
    assert_eq!(tree.get("/link.c", 1), None);
    let up = format!("/../../../../../..{}", outside.path().display());
    assert_eq!(tree.get(&up, 1), None);
    symlink("/a.c", tree.dir.path().join("inside.c")).unwrap();
    assert_eq!(tree.get("/inside.c", 1).as_deref(), Some("one"));
}

#[test]
fn only_regular_files_that_the_target_may_read() {
    let mut tree = Tree::new();
    let fifo = tree.dir.path().join("fifo.c");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o666),
        0,
    )
    .unwrap();
    assert_eq!(tree.get("/fifo.c", 1), None);
    fs::set_permissions(tree.dir.path().join("a.c"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(tree.get("/a.c", 1), None);
    let own = SourceRoot::at(tree.dir.path(), rustix::process::getuid().as_raw()).unwrap();
    let mut own = SourceLines::new(Some(own));
    let built = SystemTime::now() + Duration::from_secs(1);
    assert_eq!(own.get(Path::new("/a.c"), 1, built).as_deref(), Some("one"));
}

#[test]
fn the_kernels_own_files_are_not_sources() {
    let root = SourceRoot::at(Path::new("/"), 0).unwrap();
    assert!(root.open_regular(Path::new("/proc/version")).is_err());
    assert!(root.open_regular(Path::new("/dev/null")).is_err());
    assert!(root.open_regular(Path::new("/etc/passwd")).is_ok());
}

#[test]
fn a_huge_file_is_not_read() {
    let mut tree = Tree::new();
    File::create(tree.dir.path().join("big.c")).and_then(|file| file.set_len(17 << 20)).unwrap();
    assert_eq!(tree.get("/big.c", 1), None);
}

#[test]
fn a_process_has_a_root() {
    let pid = crate::units::Pid(std::process::id());
    let root = SourceRoot::of_process(pid).unwrap();
    assert!(root.open_regular(Path::new("/etc/passwd")).is_ok());
    assert!(SourceRoot::of_process(crate::units::Pid(u32::MAX >> 1)).is_err());
}
