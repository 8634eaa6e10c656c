//! `cargo xtask setup`: completes the eBPF toolchain, by whichever way works on this machine, and
//! says what it does and why. A second run finds everything and changes nothing.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, anyhow, bail};
use xtask::command::{ask, cargo, find, isolated, line, run, tools};
use xtask::toolchain::{Compiler, Kind, Missing, Toolchain, compiler, detect};

use crate::apt;

/// The version that the tests run with. The LLVM that it is built for is the compiler's.
const LINKER: &str = "bpf-linker@0.13.0";

/// Debian's current stable compiler, its cargo, and the source of its standard library.
const SYSTEM_COMPILER: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Runs the command.
pub(crate) fn run_and_tell() -> Result<()> {
    let toolchain = ensure()?;
    println!("ready: {toolchain}");
    Ok(())
}

/// The toolchain, after installing what it lacks. Prints only when it has something to install.
pub(crate) fn ensure() -> Result<Toolchain> {
    let compiler = match detect() {
        Ok(toolchain) => return Ok(toolchain),
        Err(Missing::Linker(compiler)) => compiler,
        Err(Missing::Compiler) => install_compiler()?,
    };
    if find("bpf-linker").is_none() {
        install_linker(&compiler)?;
    }
    Ok(detect()?)
}

/// Debian's packages where we may install them, else rustup's nightly, which not every network
/// can fetch.
fn install_compiler() -> Result<Compiler> {
    let packages = SYSTEM_COMPILER.map(str::to_owned);
    let rustup_works = Command::new("rustup").arg("--version").output().is_ok();
    println!("setup: no compiler has the source of `core`, which eBPF needs built from source");
    if apt::usable() {
        println!("  installing {}: a stable Rust and that source", packages.join(" "));
        match apt::install(&packages) {
            Ok(()) => {}
            Err(error) if rustup_works => println!("  {error:#}"),
            Err(error) => return Err(error),
        }
    }
    if compiler().is_none() && rustup_works {
        let mut nightly = nightly();
        println!("  running `{}`: a nightly Rust and that source", line(&nightly));
        if let Err(error) = run(&mut nightly) {
            println!("  {error:#}");
        }
    }
    compiler().ok_or_else(|| {
        anyhow!(
            "this machine offers no way to get such a compiler. Run one of these, then \
             `cargo xtask setup` again:\n  {}\n  {}",
            line(&nightly()),
            apt::command_line(&packages)
        )
    })
}

fn nightly() -> Command {
    let mut command = isolated("rustup");
    command.args(["toolchain", "install", "nightly", "--profile", "minimal"]);
    command.args(["--component", "rust-src"]);
    command
}

/// Into `target/tools`: prebuilt if `cargo binstall` is there, else built against the LLVM that
/// the compiler uses.
fn install_linker(compiler: &Compiler) -> Result<()> {
    println!("setup: {compiler} has no bpf-linker, which makes one eBPF object of its bitcode");
    if compiler.kind == Kind::Nightly && find("cargo-binstall").is_some() {
        let mut binstall = cargo();
        binstall.args(["binstall", "--no-confirm", LINKER, "--root"]).arg(tools());
        println!("  running `{}`", line(&binstall));
        return run(&mut binstall);
    }
    let major = compiler.llvm_major;
    let prefix = match llvm_prefix(major) {
        Some(prefix) => prefix,
        None => install_llvm(major)?,
    };
    let mut install = cargo();
    install
        .args(["install", "--quiet", "--locked", LINKER, "--no-default-features"])
        .args(["--features", &format!("llvm-{major}"), "--root"])
        .arg(tools())
        .env("LLVM_PREFIX", prefix);
    println!("  running `{}` (about a minute)", line(&install));
    run(&mut install)
}

fn install_llvm(major: u32) -> Result<PathBuf> {
    let packages = [format!("llvm-{major}-dev")];
    if apt::usable() {
        println!("  installing {}: bpf-linker is built on the compiler's LLVM", packages[0]);
        apt::install(&packages)?;
    }
    if let Some(prefix) = llvm_prefix(major) {
        return Ok(prefix);
    }
    bail!(
        "bpf-linker is built on LLVM {major}, which isn't here. Run one of these, then `cargo \
         xtask setup` again:\n  cargo binstall --root {} {LINKER}\n  {}",
        tools().display(),
        apt::command_line(&packages)
    )
}

/// Where LLVM `major` is installed with its headers: Debian's place, or what `llvm-config` says.
fn llvm_prefix(major: u32) -> Option<PathBuf> {
    let debian = format!("/usr/lib/llvm-{major}/bin/llvm-config");
    [debian, format!("llvm-config-{major}"), "llvm-config".to_owned()].iter().find_map(|config| {
        let version = ask(Command::new(config).arg("--version"))?;
        let prefix = ask(Command::new(config).arg("--prefix"))?;
        version.starts_with(&format!("{major}.")).then(|| prefix.trim().into())
    })
}
