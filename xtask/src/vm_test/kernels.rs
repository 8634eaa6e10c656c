//! The matrix: which kernels memtrace is tried on, and where they come from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::package;
use crate::apt;

/// One kernel.
pub(super) struct Kernel {
    /// As `--kernel` takes it: the release's first two numbers.
    pub version: &'static str,
    /// Why it is here, which is what to think of before it is taken out.
    pub why: &'static str,
    /// Where its package is, for somebody whose package lists don't have it.
    source: &'static str,
}

/// Oldest first. A new one is a row here; CONTRIBUTING.md has the steps.
pub(super) const KERNELS: [Kernel; 2] = [
    Kernel {
        version: "6.1",
        why: "Debian 12's; the oldest kernel that is tried, and the strictest about bounds",
        source: "it is part of Debian 12: add `deb http://deb.debian.org/debian bookworm main` and \
                 `deb http://deb.debian.org/debian-security bookworm-security main`",
    },
    Kernel {
        version: "6.12",
        why: "Debian 13's; its verifier explores more states than 6.1's",
        source: "it is part of Debian 13 (`deb http://deb.debian.org/debian trixie main`), and for \
                 Debian 12 of `deb http://deb.debian.org/debian-security bookworm-security main` or of \
                 `deb http://deb.debian.org/debian bookworm-backports main`",
    },
];

/// What `--kernel` may be.
pub(crate) fn versions() -> clap::builder::PossibleValuesParser {
    KERNELS.map(|kernel| kernel.version).into()
}

impl Kernel {
    /// The kernel's image, fetched if it isn't here yet. The newest package of the version is taken: they move with
    /// each security update, and old ones go away.
    pub(super) fn image(&self, folder: &Path) -> Result<PathBuf> {
        let version = self.version;
        let dotted = version.replace('.', r"\.");
        let names = apt::search(&format!(r"^linux-image-{dotted}\..*-cloud-amd64$"))?;
        let Some(name) = names.into_iter().max_by_key(|name| numbers(name)) else {
            bail!(
                "no package named linux-image-{version}.…-cloud-amd64 is known here; {}, one line each in a file in \
                 /etc/apt/sources.list.d/, then run `apt-get update`",
                self.source
            );
        };
        let boot = package::unpacked(&name, folder)?.join("boot");
        let files =
            fs::read_dir(&boot).with_context(|| format!("cannot read {}", boot.display()))?;
        files
            .filter_map(|file| Some(file.ok()?.path()))
            .find(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
            })
            .with_context(|| format!("no vmlinuz-… in {}", boot.display()))
    }
}

/// A name's numbers, in order: `6.1.0-56` comes after `6.1.0-9`.
fn numbers(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_package_is_the_one_with_the_highest_numbers() {
        let names = ["6.12.99+deb12", "6.12.117+deb12", "6.12.9+deb13"]
            .map(|release| format!("linux-image-{release}-cloud-amd64"));
        let newest = names.into_iter().max_by_key(|name| numbers(name));
        assert_eq!(newest.as_deref(), Some("linux-image-6.12.117+deb12-cloud-amd64"));
    }
}
