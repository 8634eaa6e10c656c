//! Which of the two ways to compile for eBPF this machine offers.
//!
//! The target has no prebuilt standard library, so a compiler counts only if the source of `core`
//! lies beside it. rustup's nightly with `rust-src` is the usual one; a distribution's stable
//! compiler with its source package does the same work (`docs/decisions/0001-toolchain.md`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{ask, find, isolated};

/// The distribution's compiler; never one of rustup's.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

/// A compiler that can build `core` for the eBPF target.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// How it is called.
    pub kind: Kind,
    /// `1.96.0`, `1.97.0-nightly`, …
    pub release: String,
    /// The LLVM whose bitcode it writes: bpf-linker must be linked to one no older.
    pub llvm_major: u32,
}

/// Where a compiler comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// rustup's nightly.
    Nightly,
    /// The distribution's stable compiler at [`SYSTEM_RUSTC`], with `RUSTC_BOOTSTRAP=1`.
    System,
}

/// A compiler and a linker.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// The compiler.
    pub compiler: Compiler,
    /// Path of bpf-linker.
    pub linker: PathBuf,
}

/// What is not there; its text is the one line that a build prints.
#[derive(Debug, Clone)]
pub enum Missing {
    /// No compiler with the source of `core`.
    Compiler,
    /// No bpf-linker for this compiler.
    Linker(Compiler),
}

/// Looks, in well under a second and without changing anything.
pub fn detect() -> Result<Toolchain, Missing> {
    let compiler = compiler().ok_or(Missing::Compiler)?;
    match find("bpf-linker") {
        Some(linker) => Ok(Toolchain { compiler, linker }),
        None => Err(Missing::Linker(compiler)),
    }
}

/// rustup's nightly if it has `rust-src`, else the distribution's compiler if it has its source.
pub fn compiler() -> Option<Compiler> {
    [Kind::Nightly, Kind::System].into_iter().find_map(usable)
}

/// rustc as `kind` calls it. rustup is asked not to fetch a toolchain that isn't there.
pub fn rustc(kind: Kind) -> Command {
    match kind {
        Kind::Nightly => {
            let mut command = isolated("rustup");
            command.args(["run", "nightly", "rustc"]).env("RUSTUP_AUTO_INSTALL", "0");
            command
        }
        Kind::System => isolated(SYSTEM_RUSTC),
    }
}

fn usable(kind: Kind) -> Option<Compiler> {
    let sysroot = ask(rustc(kind).args(["--print", "sysroot"]))?;
    let core = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/src/lib.rs");
    // Where /usr/bin/rustc is rustup's, the sysroot tells.
    let right_place = kind == Kind::Nightly || sysroot.trim() == "/usr";
    if !right_place || !core.is_file() {
        return None;
    }
    let compiler = parse(kind, &ask(rustc(kind).arg("-vV"))?)?;
    (minor(&compiler.release)? >= minor(env!("CARGO_PKG_RUST_VERSION"))?).then_some(compiler)
}

/// Takes `rustc -vV`'s answer apart.
fn parse(kind: Kind, version: &str) -> Option<Compiler> {
    let field = |name| version.lines().find_map(|line| line.strip_prefix(name));
    let llvm = field("LLVM version: ")?;
    Some(Compiler {
        kind,
        release: field("release: ")?.to_owned(),
        llvm_major: llvm.split('.').next()?.parse().ok()?,
    })
}

/// `95` of `1.95` and of `1.95.0-nightly`.
fn minor(release: &str) -> Option<u32> {
    release.split('.').nth(1)?.parse().ok()
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            Kind::Nightly => "rustup's nightly",
            Kind::System => SYSTEM_RUSTC,
        };
        write!(f, "{name} {} (LLVM {})", self.release, self.llvm_major)
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", self.compiler, self.linker.display())
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Compiler => "no Rust compiler with the source of `core` was found",
            Self::Linker(_) => "bpf-linker was not found",
        };
        write!(f, "the eBPF toolchain is not set up ({what}): run `cargo xtask setup`")
    }
}

impl std::error::Error for Missing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_verbose_version_apart() {
        let text =
            "rustc 1.97.0-nightly\nbinary: rustc\nrelease: 1.97.0-nightly\nLLVM version: 22.1.2\n";
        let compiler = parse(Kind::Nightly, text).expect("both fields are there");
        assert_eq!((compiler.release.as_str(), compiler.llvm_major), ("1.97.0-nightly", 22));
        assert_eq!(minor(&compiler.release), Some(97));
        assert!(parse(Kind::System, "rustc 1.97.0").is_none());
    }
}
