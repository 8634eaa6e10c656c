//! Debian packages, fetched and unpacked, never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use xtask::command::run;

use crate::apt;

/// The folder with a package's files. It is there as soon as it is complete, and then it is kept.
pub(super) fn unpacked(package: &str, folder: &Path) -> Result<PathBuf> {
    let done = folder.join(package);
    if done.is_dir() {
        return Ok(done);
    }
    let scratch = folder.join(format!("{package}.fetching"));
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?; // of a run that was broken off
    }
    let files = scratch.join("files");
    fs::create_dir_all(&files).with_context(|| format!("cannot create {}", files.display()))?;
    println!("vm-test: fetching {package}");
    apt::download(package, &scratch)?;
    let deb = fs::read_dir(&scratch)?
        .filter_map(|file| Some(file.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get has put no .deb into {}", scratch.display()))?;
    run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&files))?;
    fs::rename(&files, &done)?;
    fs::remove_dir_all(&scratch)?;
    Ok(done)
}
