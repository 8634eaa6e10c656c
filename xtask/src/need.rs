//! Programs that a command runs, and installing those that aren't there.

use anyhow::{Result, bail};
use xtask::command::find;

use crate::apt;

/// A program, and the Debian package that has it.
pub(crate) struct Need {
    program: &'static str,
    package: &'static str,
    /// For the reader of a table of these, and for whoever is asked to install it.
    why: &'static str,
}

/// One row of a table.
pub(crate) const fn need(program: &'static str, package: &'static str, why: &'static str) -> Need {
    Need { program, package, why }
}

/// Installs what is missing and says why, or names it where it can't be installed from here. `command` is who asks.
pub(crate) fn install_missing(command: &str, needs: &[Need]) -> Result<()> {
    let missing: Vec<_> = needs.iter().filter(|need| find(need.program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        println!("{command}: {} is missing: {}", need.program, need.why);
    }
    let packages: Vec<_> = missing.iter().map(|need| need.package.to_owned()).collect();
    if !apt::usable() {
        bail!("install what is missing; on Debian: {}", apt::command_line(&packages));
    }
    println!("{command}: installing {}", packages.join(" "));
    apt::install(&packages)
}
