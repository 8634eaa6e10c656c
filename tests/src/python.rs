//! The interpreters of Python's that are installed here.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::in_full;

/// The distribution's, with the interpreter inside of the program.
pub const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// An interpreter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Python {
    /// The program itself, not a script that looks for one.
    pub path: PathBuf,
    /// As in (3, 11).
    pub version: (u32, u32),
    /// Whether the interpreter is a library (`libpython`), and not in the program itself.
    pub is_shared: bool,
}

impl Python {
    /// The interpreters that memtrace walks (3.10 to 3.13): the distribution's, and those that are on `PATH` or that pyenv keeps; one
    /// each.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn all() -> Result<Vec<Self>> {
        let known: Vec<_> = Self::installed()
            .into_iter()
            .filter(|it| (3, 10) <= it.version && it.version <= (3, 13))
            .collect();
        ensure!(!known.is_empty(), "no Python from 3.10 to 3.13 is installed");
        Ok(known)
    }

    /// The distribution's and the newest of the others; in the long version of a test, all.
    ///
    /// # Errors
    ///
    /// As [`Python::all`].
    pub fn few() -> Result<Vec<Self>> {
        let mut all = Self::all()?;
        if !in_full() {
            let system = fs::canonicalize(SYSTEM_PYTHON).unwrap_or_default();
            let newest = all.iter().filter(|it| it.path != system).max_by_key(|it| it.version);
            let newest = newest.map(|it| it.path.clone());
            all.retain(|it| it.path == system || Some(&it.path) == newest.as_ref());
        }
        Ok(all)
    }

    /// All of them, of whatever version.
    pub fn installed() -> Vec<Self> {
        let on_path = env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .flat_map(|folder| (6..20).map(move |minor| folder.join(format!("python3.{minor}"))))
            .collect::<Vec<_>>();
        let pyenv = env::var_os("PYENV_ROOT")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pyenv")));
        let kept = pyenv
            .and_then(|root| fs::read_dir(root.join("versions")).ok())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("bin/python3"));
        let all: BTreeMap<PathBuf, Self> = [PathBuf::from(SYSTEM_PYTHON)]
            .into_iter()
            .chain(on_path)
            .chain(kept)
            .filter_map(|path| Self::at(&path))
            .map(|python| (python.path.clone(), python))
            .collect();
        all.into_values().collect()
    }

    /// The one at a path, if that is one.
    pub fn at(path: &Path) -> Option<Self> {
        let path = fs::canonicalize(path).ok().filter(|path| is_program(path))?;
        let (version, is_shared) = ask(&path).ok()?;
        Some(Self { path, version, is_shared })
    }

    /// A command that runs a script with it, untouched by the user's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments).env_remove("PYTHONMALLOC").env_remove("PYTHONPATH");
        command
    }
}

/// Whether it is an ELF file.
fn is_program(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && &magic == b"\x7fELF"
}

fn ask(path: &Path) -> Result<((u32, u32), bool)> {
    let script = "import sys; \
                  print(*sys.version_info[:2], any('libpython' in line for line in open('/proc/self/maps')))";
    let output = Command::new(path).args(["-I", "-S", "-c", script]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut words = text.split_whitespace();
    let mut word = || words.next().context("it says too little");
    Ok(((word()?.parse()?, word()?.parse()?), word()? == "True"))
}
