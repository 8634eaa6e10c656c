//! The binary under test: that of the sources as they are now, never a stale one.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context as _, Result, ensure};

/// Names a binary to test in place of the one that would be built here.
const GIVEN: &str = "MEMTRACE_TEST_BINARY";

/// The path of the program `memtrace`, built once per test process and in the tests' own profile: a test's
/// package does not depend on another's binary, so `cargo test` alone may leave an old one there.
///
/// # Panics
///
/// Where it can't be built; every test would fail.
pub fn memtrace_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match env::var_os(GIVEN) {
        Some(given) => given.into(),
        None => build().unwrap_or_else(|error| panic!("no memtrace to test: {error:#}")),
    })
}

/// `target/`, where cargo put the running test.
pub(crate) fn target_folder() -> Result<PathBuf> {
    Ok(profile_folder()?.parent().context("the test is not in a target folder")?.to_owned())
}

/// `target/<profile>/`; tests are in its `deps/`.
fn profile_folder() -> Result<PathBuf> {
    let test = env::current_exe()?;
    Ok(test.ancestors().nth(2).context("the test is not in a target folder")?.to_owned())
}

fn build() -> Result<PathBuf> {
    let folder = profile_folder()?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // The features of the dependencies are those of the whole workspace, as under `cargo build --workspace`:
    // with `--package memtrace` they would differ, and all be built once more.
    let output = Command::new(cargo)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--quiet", "--workspace", "--bin", "memtrace", "--profile", profile])
        .output()
        .context("cargo can't be started")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(folder.join("memtrace"))
}
