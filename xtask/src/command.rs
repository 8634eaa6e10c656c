//! Running other programs: where they are, with which environment, and what their failure says.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace_root;

/// What an isolated cargo still needs of the variables whose names start with `CARGO`: where
/// crates are kept and how they are fetched.
const KEPT: [&str; 6] =
    ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_TERM_"];

/// The cargo that started us (or the one on `PATH`), in the workspace root.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace_root());
    command
}

/// `program` without what an outer cargo, build script or clippy tells its children about *their*
/// toolchain, flags and target: a second toolchain must hear none of it.
pub fn isolated(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let outer = ["CARGO", "RUSTC", "RUSTDOC"].iter().any(|p| text.starts_with(p))
            || ["RUSTFLAGS", "RUSTUP_TOOLCHAIN"].contains(&text);
        if outer && !KEPT.iter().any(|p| text.starts_with(p)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs to the end with our own standard streams; an error names the command line and the status.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", line(command));
    }
    Ok(())
}

/// Standard output, if the program could be started and succeeded. What it says on standard error
/// is dropped: this is for questions to which "no" is an answer.
pub fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command line as one could type it, without quoting.
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A program in `target/tools/bin`, else on `PATH`, else among the administrator's programs (which
/// Debian leaves off an ordinary user's `PATH`).
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    std::iter::once(tools().join("bin"))
        .chain(env::split_paths(&path))
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Where setup and ci install tools of their own: `target/tools`.
pub fn tools() -> PathBuf {
    workspace_root().join("target/tools")
}

/// Whether our effective user is root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
