//! Programs and libraries that a command uses, and installing those that aren't there.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};
use xtask::command::find;

use crate::apt;

/// A program or a library, and the Debian package that has it.
pub(crate) struct Need {
    file: &'static str,
    package: &'static str,
    /// For the reader of a table of these, and for whoever is asked to install it.
    why: &'static str,
}

/// A program that is run.
pub(crate) const fn need(program: &'static str, package: &'static str, why: &'static str) -> Need {
    Need { file: program, package, why }
}

/// A library that is preloaded or linked.
pub(crate) const fn library(file: &'static str, package: &'static str, why: &'static str) -> Need {
    Need { file, package, why }
}

impl Need {
    fn is_there(&self) -> bool {
        let libraries = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64"];
        find(self.file).is_some()
            || libraries.iter().any(|folder| Path::new(folder).join(self.file).exists())
            || self.is_in_a_version_of_its_own()
    }

    /// Debian keeps the programs of `postgresql` out of the path, in a folder for each version.
    fn is_in_a_version_of_its_own(&self) -> bool {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        versions.into_iter().any(|version| version.path().join("bin").join(self.file).exists())
    }
}

/// Installs what is missing and says why, or names it where it can't be installed from here. `command` is who asks.
pub(crate) fn install_missing(command: &str, needs: &[Need]) -> Result<()> {
    let missing: Vec<_> = needs.iter().filter(|need| !need.is_there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        println!("{command}: {} is missing: {}", need.file, need.why);
    }
    let packages: Vec<_> = missing.iter().map(|need| need.package.to_owned()).collect();
    if !apt::usable() {
        bail!("install what is missing; on Debian: {}", apt::command_line(&packages));
    }
    println!("{command}: installing {}", packages.join(" "));
    apt::install(&packages)
}
