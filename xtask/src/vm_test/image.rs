//! The virtual machine's file system: all of it in memory, nothing of the host in reach.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use xtask::command::ask;

use super::archive::Archive;
use super::package;
use super::programs::{PROGRAMS, concurrency, memtrace, python, python_script};

/// The first process.
const SCRIPT: &str = include_str!("guest.sh");

/// Where the kernel's file systems are mounted, and what is written to.
const FOLDERS: [&str; 4] = ["proc", "sys", "dev", "tmp"];

/// Folders that are part of `/usr`, as distributions have it: objects then have the same paths here and there.
const MERGED: [&str; 2] = ["lib", "lib64"];

/// Builds what goes into it and packs it. The same image serves all kernels.
pub(super) fn build(folder: &Path) -> Result<PathBuf> {
    let programs = folder.join("programs");
    fs::create_dir_all(&programs)
        .with_context(|| format!("cannot create {}", programs.display()))?;
    let mut archive = Archive::default();
    for name in FOLDERS {
        archive.folder(name);
    }
    for name in MERGED {
        archive.folder(&format!("usr/{name}"));
        archive.link(name, &format!("usr/{name}"));
    }
    archive.program("init", SCRIPT.into());
    let busybox = package::unpacked("busybox-static", folder)?.join("bin/busybox");
    archive.program("bin/busybox", read(&busybox)?);
    archive.link("bin/sh", "busybox");
    add(&mut archive, "bin/memtrace", &memtrace(&programs)?)?;
    for program in &PROGRAMS {
        add(&mut archive, &format!("programs/{}", program.name), &program.build(&programs)?)?;
    }
    add(&mut archive, "threads/concurrency", &concurrency(&programs)?)?;
    if let Some((program, modules)) = python() {
        add(&mut archive, "usr/bin/python3", &program)?;
        archive.program("python/pools.py", read(&python_script())?);
        for module in modules {
            archive.program(&module.to_string_lossy(), read(&module)?);
        }
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
        let folder = Path::new(library).parent().unwrap_or(Path::new("/"));
        let folder = fs::canonicalize(folder)?;
        let path = folder.join(Path::new(library).file_name().unwrap_or_default());
        archive.program(&path.to_string_lossy(), read(Path::new(library))?);
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
