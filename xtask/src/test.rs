//! `cargo xtask test`: everything built, what the tests need installed, every test run.

use std::env;

use anyhow::{Result, bail};
use xtask::command::{cargo, find, is_root, line, run};

use crate::{apt, setup};

/// A program that tests run, and the Debian package that has it.
struct Need {
    program: &'static str,
    package: &'static str,
    /// For the reader of this table, and for whoever is asked to install it.
    why: &'static str,
}

const fn need(program: &'static str, package: &'static str, why: &'static str) -> Need {
    Need { program, package, why }
}

const NEEDS: [Need; 10] = [
    need("gcc", "gcc", "oracle programs in C"),
    need("g++", "g++", "oracle programs in C++"),
    need("musl-gcc", "musl-tools", "the other C library"),
    need("python3", "python3", "an interpreter whose allocations have Python lines"),
    need("git", "git", "a real program that ends by itself"),
    need("nginx", "nginx", "a real server, several processes"),
    need("heaptrack", "heaptrack", "another tracer, to compare with"),
    need("redis-server", "redis-server", "a server on jemalloc that tells how much memory it uses"),
    need("bpftool", "bpftool", "lists eBPF programs and maps, of which none may stay behind"),
    need("sqlite3", "sqlite3", "a real program with its own allocator layer"),
];

/// Runs the command; `arguments` go on to `cargo test`.
pub(crate) fn run_all(arguments: &[String]) -> Result<()> {
    if !is_root() {
        bail!(
            "the tests on the real kernel load eBPF programs and need root: run `sudo env \
             PATH=\"$PATH\" cargo xtask test`; without root `cargo test --workspace --exclude \
             memtrace-tests` runs the others"
        );
    }
    setup::ensure()?;
    install_missing()?;
    // `cargo test` alone does not build the binary that another package's tests start.
    run(cargo().args(["build", "--workspace"]))?;
    let mut test = cargo();
    test.args(["test", "--workspace"]).args(arguments);
    if env::var("CI").is_ok_and(|value| value == "true") {
        // A test that can't run here says so and passes; CI's machine must run them all.
        test.env("MEMTRACE_TEST_NO_SKIP", "1");
    }
    println!("running `{}`", line(&test));
    run(&mut test)
}

fn install_missing() -> Result<()> {
    let missing: Vec<_> = NEEDS.iter().filter(|need| find(need.program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        println!("test: {} is missing: {}", need.program, need.why);
    }
    let packages: Vec<_> = missing.iter().map(|need| need.package.to_owned()).collect();
    if !apt::usable() {
        bail!("install what is missing; on Debian: {}", apt::command_line(&packages));
    }
    println!("test: installing {}", packages.join(" "));
    apt::install(&packages)
}
