//! `cargo xtask demo`: memtrace at work on a small server with one planted leak.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use anyhow::{Context, Result, bail};
use xtask::command::{cargo, is_root, line, run};
use xtask::workspace_root;

use crate::setup;

/// Runs the command.
pub(crate) fn show() -> Result<()> {
    if !is_root() {
        bail!("memtrace needs root: run `sudo env PATH=\"$PATH\" cargo xtask demo`");
    }
    setup::ensure()?;
    let target = workspace_root().join("target");
    // As the tests build it: what one has compiled, the other need not.
    println!("demo: building memtrace");
    run(cargo().args(["build", "--workspace", "--target-dir"]).arg(&target))?;
    let server = Server::start(&target.join("demo"))?;
    let mut memtrace = Command::new(target.join("debug/memtrace"));
    memtrace.args(["--pid", &server.0.id().to_string()]);
    memtrace.args(["--debug", "--interval", "1s", "-n", "3"]);
    println!("demo: the leak is planted in session_remember(), demo/leaky-server.c");
    println!("demo: $ {}\n", line(&memtrace));
    run(&mut memtrace)
}

/// The running server; however the demo ends, it is stopped.
struct Server(Child);

impl Server {
    fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let program = folder.join("leaky-server");
        let source = workspace_root().join("demo/leaky-server.c");
        // Named functions and lines, and no inlining away of the stack that is to be shown.
        run(Command::new("cc")
            .args(["-g", "-O1", "-fno-omit-frame-pointer", "-Wall", "-o"])
            .arg(&program)
            .arg(source))?;
        let child = Command::new(&program)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self(child))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either may fail only because the server has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
