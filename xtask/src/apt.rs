//! Debian packages, for the commands that need some. Nothing is installed that is already there.

use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::command::{find, is_root, line, run};

/// Whether packages can be installed here: Debian or a relative of it, and we are root.
pub(crate) fn usable() -> bool {
    is_root() && find("apt-get").is_some()
}

/// Installs `packages`, with fresh lists if the ones at hand don't lead to them: a new machine has
/// none, and an old one names versions that the archive has replaced.
pub(crate) fn install(packages: &[String]) -> Result<()> {
    let attempt = apt(packages).output().context("cannot start apt-get")?;
    if attempt.status.success() {
        return Ok(());
    }
    println!("  (refreshing the package lists)");
    run(apt_get().args(["-qq", "update"]))?;
    let again = apt(packages).output().context("cannot start apt-get")?;
    if !again.status.success() {
        bail!(
            "{} failed: {}",
            line(&apt(packages)),
            String::from_utf8_lossy(&again.stderr).trim_end()
        );
    }
    Ok(())
}

/// The command that a person would type.
pub(crate) fn command_line(packages: &[String]) -> String {
    format!("sudo apt-get install -y --no-install-recommends {}", packages.join(" "))
}

fn apt(packages: &[String]) -> Command {
    let mut command = apt_get();
    command.args(["-qq", "install", "-y", "--no-install-recommends"]).args(packages);
    command
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
