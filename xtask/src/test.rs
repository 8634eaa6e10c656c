//! `cargo xtask test`: everything built, what the tests need installed, every test run.

use std::env;

use anyhow::{Result, bail};
use xtask::command::{cargo, is_root, line, run};

use crate::need::{Need, install_missing, library, need};
use crate::setup;

const NEEDS: [Need; 16] = [
    need("gcc", "gcc", "oracle programs in C"),
    need("g++", "g++", "oracle programs in C++"),
    need("musl-gcc", "musl-tools", "the other C library"),
    need("make", "make", "builds the jemalloc of a Rust program"),
    library("libjemalloc.so.2", "libjemalloc2", "an allocator with operators of its own"),
    library("libtcmalloc_minimal.so.4", "libtcmalloc-minimal4", "the same, with many aliases"),
    library("libmimalloc.so.2", "libmimalloc2.0", "the same, with thunks"),
    need("python3", "python3", "an interpreter whose allocations have Python lines"),
    need("pip3", "python3-pip", "installs the web application that is traced"),
    need("git", "git", "a real program that ends by itself"),
    need("nginx", "nginx", "a real server, several processes"),
    need("postgres", "postgresql", "a real server that forks for each client"),
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
    install_missing("test", &NEEDS)?;
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
