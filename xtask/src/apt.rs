//! Debian packages, for the commands that need some. Nothing is installed that is already there.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::command::{ask, find, is_root, line, run};

/// Whether packages can be installed here: Debian or a relative of it, and we are root.
pub(crate) fn usable() -> bool {
    is_root() && find("apt-get").is_some()
}

/// Installs `packages`.
pub(crate) fn install(packages: &[String]) -> Result<()> {
    let mut install = apt_get();
    install.args(["-qq", "install", "-y", "--no-install-recommends"]).args(packages);
    with_fresh_lists(&mut install)
}

/// Puts a package's file into `folder` without installing it.
pub(crate) fn download(package: &str, folder: &Path) -> Result<()> {
    let mut download = apt_get();
    // As root apt would hand the work to a user of its own, who may not write here.
    download.current_dir(folder).args([
        "-qq",
        "-o",
        "APT::Sandbox::User=root",
        "download",
        package,
    ]);
    with_fresh_lists(&mut download)
}

/// The names of all packages that match, in no particular order. Where there is none, the lists may be what is missing.
pub(crate) fn search(expression: &str) -> Result<Vec<String>> {
    let mut search = Command::new("apt-cache");
    search.args(["search", "--names-only", expression]);
    let mut found = names(&mut search)?;
    if found.is_empty() && usable() {
        refresh()?;
        found = names(&mut search)?;
    }
    Ok(found)
}

fn names(search: &mut Command) -> Result<Vec<String>> {
    let answer = ask(search).with_context(|| format!("{} failed", line(search)))?;
    Ok(answer
        .lines()
        .filter_map(|line| line.split_once(" - "))
        .map(|(name, _)| name.to_owned())
        .collect())
}

/// Runs it, a second time with fresh lists if the ones at hand don't lead to the packages: a new machine
/// has none, and an old one names versions that the archive has replaced.
fn with_fresh_lists(command: &mut Command) -> Result<()> {
    let attempt = command.output().context("cannot start apt-get")?;
    if attempt.status.success() {
        return Ok(());
    }
    if is_root() {
        refresh()?;
    }
    let again = command.output().context("cannot start apt-get")?;
    if !again.status.success() {
        bail!("{} failed: {}", line(command), String::from_utf8_lossy(&again.stderr).trim_end());
    }
    Ok(())
}

fn refresh() -> Result<()> {
    println!("  (refreshing the package lists)");
    run(apt_get().args(["-qq", "update"]))
}

/// The command that a person would type.
pub(crate) fn command_line(packages: &[String]) -> String {
    format!("sudo apt-get install -y --no-install-recommends {}", packages.join(" "))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
