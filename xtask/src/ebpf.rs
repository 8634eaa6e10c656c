//! The one way in which the eBPF object is built: by `cargo xtask build-ebpf` and by
//! `tracer/build.rs`.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command::{isolated, run};
use crate::toolchain::{Kind, Toolchain, detect};
use crate::workspace_root;

const TARGET: &str = "bpfel-unknown-none";

/// - `debuginfo=2` and `--btf`: BTF is made from the debug information.
/// - `target-cpu=v3`: atomic additions whose result is used need it, and 32-bit arithmetic is
///   shorter with it. Kernels have it since 5.12.
const RUSTFLAGS: [&str; 3] = ["-Cdebuginfo=2", "-Clink-arg=--btf", "-Ctarget-cpu=v3"];

/// Builds the object and returns its path.
pub fn build() -> Result<PathBuf> {
    run(&mut cargo(&detect()?, "build"))?;
    Ok(target_dir().join(TARGET).join("release/tracer-ebpf"))
}

/// `cargo build` or `cargo clippy` on tracer-ebpf, for the eBPF target.
pub fn cargo(toolchain: &Toolchain, verb: &str) -> Command {
    let mut command = match toolchain.compiler.kind {
        Kind::Nightly => {
            let mut command = isolated("rustup");
            command.args(["run", "nightly", "cargo"]);
            command
        }
        Kind::System => {
            let mut command = isolated("/usr/bin/cargo");
            // Lets a stable compiler take `-Z build-std`.
            command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
            command
        }
    };
    command
        .current_dir(workspace_root().join("tracer-ebpf"))
        .args([verb, "--locked", "--release", "--target", TARGET, "-Z", "build-std=core"])
        // Not the workspace's own: an outer cargo that runs our build script holds its lock.
        .arg("--target-dir")
        .arg(target_dir())
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"))
        .env("PATH", path(toolchain));
    command
}

fn target_dir() -> PathBuf {
    workspace_root().join("target/ebpf")
}

/// rustc looks for bpf-linker on `PATH`, and cargo for its subcommands, where those of the
/// distribution must come before rustup's.
fn path(toolchain: &Toolchain) -> std::ffi::OsString {
    let old = env::var_os("PATH").unwrap_or_default();
    let system = (toolchain.compiler.kind == Kind::System).then(|| PathBuf::from("/usr/bin"));
    let first = toolchain.linker.parent().map(PathBuf::from).into_iter().chain(system);
    env::join_paths(first.chain(env::split_paths(&old))).unwrap_or(old)
}
