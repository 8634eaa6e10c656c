//! Objects to test on: this machine's own libraries, and programs compiled on the spot.

use std::{ffi::OsStr, fs, path::Path, process::Command};

/// The glibc that this very test runs on. Where there is none, says so and gives `None`.
pub(crate) fn libc() -> Option<Vec<u8>> {
    mapped("libc.so.6")
}

/// The bytes of a library by its file name, from where Debian and Fedora keep theirs.
pub(crate) fn mapped(name: &str) -> Option<Vec<u8>> {
    let found = ["/lib/x86_64-linux-gnu", "/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib64"]
        .iter()
        .find_map(|folder| fs::read(Path::new(folder).join(name)).ok());
    if found.is_none() {
        println!("skipped: no x86-64 {name} on this machine");
    }
    found
}

/// What the compiler makes of `source`; says why where it makes nothing.
pub(crate) fn compiled(
    compiler: &str,
    source_name: &str,
    source: &str,
    flags: &[&str],
) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().ok()?;
    let input = folder.path().join(source_name);
    let output = folder.path().join("object");
    fs::write(&input, source).ok()?;
    let run = Command::new(compiler)
        .args([input.as_os_str(), OsStr::new("-o"), output.as_os_str()])
        .args(flags)
        .output();
    match run {
        Ok(run) if run.status.success() => fs::read(output).ok(),
        Ok(run) => {
            let errors = String::from_utf8_lossy(&run.stderr);
            // A static library that is not installed is the machine's fault; all else is the test's.
            assert!(errors.contains("cannot find"), "{compiler}: {errors}");
            println!("skipped: {compiler}: {errors}");
            None
        }
        Err(error) => {
            println!("skipped: {compiler}: {error}");
            None
        }
    }
}
