//! Packages of the Python Package Index, as they are published.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Result;

use crate::{Python, SYSTEM_PYTHON, binary::target_folder, skip};

/// The folder with packages for an interpreter, installed when first asked for; what they need comes along. Give their
/// versions (`name==1.2.3`), so that a test means the same tomorrow. `None`, and said so, where there is no pip or no network.
///
/// The distribution's pip installs for each interpreter, as others may have none.
///
/// # Errors
///
/// Where a folder can't be made.
pub fn packages(python: &Python, names: &[&str]) -> Result<Option<PathBuf>> {
    let mut hasher = DefaultHasher::new();
    (&python.path, names).hash(&mut hasher);
    let folder = target_folder()?.join("test-programs");
    let path = folder.join(format!("packages-{:016x}", hasher.finish()));
    if path.exists() {
        return Ok(Some(path));
    }
    fs::create_dir_all(&folder)?;
    // Tests run side by side: each makes its own, and the last one to finish puts it in place.
    let scratch = tempfile::Builder::new().prefix("installing-").tempdir_in(&folder)?;
    let installed = scratch.path().join("packages");
    let system = Path::new(SYSTEM_PYTHON);
    let pip = if system.exists() { system } else { &python.path };
    let (major, minor) = python.version;
    let made = Command::new(pip)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--no-input", "--retries", "1", "--timeout", "20"])
        .args(["--only-binary", ":all:", "--python-version", &format!("{major}.{minor}")])
        .arg("--target")
        .arg(&installed)
        .args(names)
        .stdin(Stdio::null())
        .output()?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        skip(&format!("pip can't install {}: {said}", names.join(" and ")));
        return Ok(None);
    }
    if !path.exists() {
        fs::rename(&installed, &path)?;
    }
    Ok(Some(path))
}
