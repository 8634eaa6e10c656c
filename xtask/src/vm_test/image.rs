//! The virtual machine's file system: all of it in memory, nothing of the host in reach.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use xtask::command::ask;

use super::archive::Archive;
use super::package;
use super::programs::{PROGRAMS, memtrace};

/// The first process.
const SCRIPT: &str = include_str!("guest.sh");

/// Where the kernel's file systems are mounted, and what is written to.
const FOLDERS: [&str; 4] = ["proc", "sys", "dev", "tmp"];

/// Builds what goes into it and packs it. The same image serves all kernels.
pub(super) fn build(folder: &Path) -> Result<PathBuf> {
    let programs = folder.join("programs");
    fs::create_dir_all(&programs)
        .with_context(|| format!("cannot create {}", programs.display()))?;
    let mut archive = Archive::default();
    for name in FOLDERS {
        archive.folder(name);
    }
    archive.program("init", SCRIPT.into());
    let busybox = package::unpacked("busybox-static", folder)?.join("bin/busybox");
    archive.program("bin/busybox", read(&busybox)?);
    archive.link("bin/sh", "busybox");
    add(&mut archive, "bin/memtrace", &memtrace(&programs)?)?;
    for program in &PROGRAMS {
        add(&mut archive, &format!("programs/{}", program.name), &program.build(&programs)?)?;
    }
    let image = folder.join("image.cpio");
    fs::write(&image, archive.bytes())
        .with_context(|| format!("cannot write {}", image.display()))?;
    Ok(image)
}

/// Adds a program with the libraries that it is linked with, each where its loader will look.
fn add(archive: &mut Archive, path: &str, program: &Path) -> Result<()> {
    archive.program(path, read(program)?);
    // ldd fails for a static program, which has none.
    let linked = ask(Command::new("ldd").arg(program)).unwrap_or_default();
    for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
        archive.program(library, read(Path::new(library))?);
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
