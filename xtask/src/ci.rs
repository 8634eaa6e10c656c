//! `cargo xtask ci`: what a change must pass. `.ci/run` calls it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use xtask::command::{cargo, find, line, run, tools};
use xtask::ebpf;
use xtask::toolchain::{Kind, Toolchain};
use xtask::workspace_root;

use crate::{apt, setup, test};

const CARGO_DENY: &str = "cargo-deny@0.20.2";

/// The manifests that are no members of one workspace.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "tracer-ebpf/Cargo.toml"];

/// Runs the command.
pub(crate) fn run_all() -> Result<()> {
    let toolchain = step("setup", setup::ensure)?;
    step("format", format)?;
    step("lint", || lint(&toolchain))?;
    step("dependencies", dependencies)?;
    // No line of ours after it: the last thing printed is the tests' own summary.
    println!("== test");
    test::run_all(&[])
}

fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    println!("== {name}");
    let result = work().with_context(|| format!("the {name} step failed"))?;
    println!("== {name}: {} s", start.elapsed().as_secs());
    Ok(result)
}

fn format() -> Result<()> {
    for manifest in MANIFESTS {
        run(cargo().args(["fmt", "--all", "--check", "--manifest-path", manifest]))?;
    }
    Ok(())
}

/// Two passes: the host's clippy on the workspace, then, for the eBPF target, the clippy of the
/// toolchain that builds it. (The host's can't check tracer-ebpf: aya-ebpf's programs and helpers
/// only exist on the eBPF target.)
fn lint(toolchain: &Toolchain) -> Result<()> {
    run(cargo()
        .args(["clippy", "--workspace", "--all-targets", "--locked", "--"])
        .args(["-D", "warnings"]))?;
    let mut kernel_side = ebpf::cargo(toolchain, "clippy");
    kernel_side.args(["--", "-D", "warnings"]);
    install_clippy(toolchain.compiler.kind)?;
    run(&mut kernel_side)
}

/// Debian ships clippy apart from its compiler, and so does rustup's minimal nightly.
fn install_clippy(kind: Kind) -> Result<()> {
    let packages = ["rust-web-clippy".to_owned()];
    match kind {
        Kind::System if PathBuf::from("/usr/bin/clippy-driver").is_file() => Ok(()),
        Kind::System if apt::usable() => apt::install(&packages),
        Kind::System => bail!("clippy is missing: run `{}`", apt::command_line(&packages)),
        Kind::Nightly => {
            let mut add = Command::new("rustup");
            run(add.args(["component", "add", "clippy", "--toolchain", "nightly"]))
        }
    }
}

/// `advisories` are left out: their database can't be fetched everywhere, and a new advisory must
/// not fail an unrelated change.
fn dependencies() -> Result<()> {
    let deny = match find("cargo-deny") {
        Some(deny) => deny,
        None => install_cargo_deny()?,
    };
    for manifest in MANIFESTS {
        run(Command::new(&deny)
            .current_dir(workspace_root())
            .args(["--locked", "--config", "deny.toml", "--manifest-path", manifest])
            .args(["check", "bans", "licenses", "sources"]))?;
    }
    Ok(())
}

fn install_cargo_deny() -> Result<PathBuf> {
    let mut install = cargo();
    // Unoptimized: it compiles in half the time and checks in a second all the same.
    install.args(["install", "--quiet", "--debug", "--config", "profile.dev.debug=false"]);
    install.args(["--locked", CARGO_DENY, "--root"]).arg(tools());
    println!("running `{}` (one to two minutes)", line(&install));
    run(&mut install)?;
    Ok(tools().join("bin/cargo-deny"))
}
