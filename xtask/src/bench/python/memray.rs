//! memray, in an environment of its own under `target/`, so that the interpreter's stays as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use memtrace_tests::Python;
use xtask::command::ask;

/// Figures are of one release.
const RELEASE: &str = "memray==1.20.0";

/// A Python that has memray, installed on first use; an error says why there is none.
pub(super) fn interpreter(python: &Python, folder: &Path) -> Result<PathBuf, String> {
    let (major, minor) = python.version;
    let environment = folder.join(format!("memray-{major}.{minor}"));
    let interpreter = environment.join("bin/python3");
    if has_memray(&interpreter) {
        return Ok(interpreter);
    }
    // What an installation that was broken off has left.
    let _ = fs::remove_dir_all(&environment);
    ask(Command::new(&python.path).args(["-m", "venv"]).arg(&environment))
        .ok_or_else(|| "`python3 -m venv` failed".to_owned())?;
    let pip = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:", RELEASE];
    ask(Command::new(&interpreter).args(pip))
        .ok_or_else(|| format!("`pip install {RELEASE}` failed"))?;
    Ok(interpreter)
}

fn has_memray(interpreter: &Path) -> bool {
    ask(Command::new(interpreter).args(["-c", "import memray"])).is_some()
}
