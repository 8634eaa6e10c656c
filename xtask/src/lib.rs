//! The part of xtask that `tracer/build.rs` shares with `cargo xtask`: finding the eBPF toolchain
//! and building the eBPF object. Everything that is only a command lives in the binary.

use std::path::Path;

pub mod command;
pub mod ebpf;
pub mod toolchain;

/// The folder that holds the workspace's `Cargo.toml`.
pub fn workspace_root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}
