//! A `PostgreSQL` server with a data folder of its own, and one client.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Target, until};

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    server: Target,
    /// `psql`, connected.
    pub client: Target,
    /// The process that serves the client.
    pub backend: u32,
    _folder: TempDir,
}

impl Postgres {
    /// Starts one, and connects to it. `None` where it is not installed.
    ///
    /// # Errors
    ///
    /// Where it can't be started.
    pub fn start() -> Result<Option<Self>> {
        let Some((programs, user)) = programs() else { return Ok(None) };
        let folder = tempfile::tempdir()?;
        chown(folder.path(), Some(user), None)?;
        let data = folder.path().join("data");
        let as_user = |program: &str| as_user(&programs.join(program), &data, folder.path());
        let made = as_user("initdb").args(["--auth", "trust", "--no-sync"]).output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut server = as_user("postgres");
        server.arg("-k").arg(folder.path()).args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        server.args(["-c", "logging_collector=on", "-c", "jit=off"]);
        let server = Target::start(&mut server)?;
        let status = || fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        let ready = || status().lines().last().is_some_and(|line| line.trim() == "ready");
        until("postgres is ready", ready)?;

        let mut psql = Command::new(programs.join("psql"));
        psql.arg("--host").arg(folder.path());
        psql.args(["--username", "postgres", "--dbname", "postgres", "-X", "-A", "-t", "-q"]);
        let mut client = Target::start(&mut psql)?;
        // Loads the language: how soon an object that comes later is known is not the question here.
        client.send("DO $$ BEGIN END $$;\nSELECT 'pid=' || pg_backend_pid();\n")?;
        let line = client.expect("pid=")?;
        let backend = line.trim_start_matches("pid=").parse().context(line)?;
        Ok(Some(Self { server, client, backend, _folder: folder }))
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// Where it doesn't end in time.
    pub fn end(mut self) -> Result<()> {
        self.client.close_input();
        self.client.wait()?;
        // What it has outside of its memory, it gives back only if it is asked to end.
        self.server.signal(Signal::INT)?;
        self.server.wait().map(drop)
    }
}

fn as_user(program: &Path, data: &Path, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups"]);
    command.args(["--pdeathsig", "KILL"]).arg(program).arg("-D").arg(data);
    command.current_dir(folder).env("LC_ALL", "C");
    command
}

/// Where its programs are, and the user that runs them.
fn programs() -> Option<(PathBuf, u32)> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let programs = folders.filter(|folder| folder.join("initdb").exists()).max()?;
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let user = users.lines().find_map(|line| line.strip_prefix("postgres:"))?;
    Some((programs, user.split(':').nth(1)?.parse().ok()?))
}
