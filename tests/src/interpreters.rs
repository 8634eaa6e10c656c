//! The Python interpreters of this machine.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// An interpreter.
#[derive(Clone, Debug)]
pub struct Interpreter {
    /// Its program: a file, not a wrapper that looks for one.
    pub path: PathBuf,
    /// `3.12`.
    pub version: (u32, u32),
    /// Whether the interpreter is a library (`libpython`), and not in the program itself.
    pub is_shared: bool,
}

impl Interpreter {
    /// Those from 3.10 on: in `PATH`, in `/usr/bin`, and pyenv's. By path, each once.
    pub fn all() -> Vec<Self> {
        let folders = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&folders).chain([PathBuf::from("/usr/bin")]);
        let names = ["python3", "python3.10", "python3.11", "python3.12", "python3.13"];
        let in_path = folders.flat_map(|folder| names.map(|name| folder.join(name)));
        let mut paths: Vec<_> = in_path
            .chain(pyenv())
            .filter_map(|path| fs::canonicalize(path).ok())
            .filter(|path| is_program(path))
            .collect();
        paths.sort();
        paths.dedup();
        paths.into_iter().filter_map(Self::of).filter(|one| one.version >= (3, 10)).collect()
    }

    /// Those whose interpreter is a library.
    pub fn shared() -> Vec<Self> {
        Self::all().into_iter().filter(|one| one.is_shared).collect()
    }

    fn of(path: PathBuf) -> Option<Self> {
        let script = "import sys, sysconfig; \
                      print(*sys.version_info[:2], sysconfig.get_config_var('Py_ENABLE_SHARED'), \
                      any('libpython' in line for line in open('/proc/self/maps')))";
        let output = Command::new(&path).args(["-I", "-c", script]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let mut words = text.split_whitespace();
        let version = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { path, version, is_shared: text.trim_end().ends_with("True") })
    }
}

/// Not a script that chooses an interpreter.
fn is_program(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"))
}

fn pyenv() -> Vec<PathBuf> {
    let root = env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pyenv")));
    let versions = root.and_then(|root| fs::read_dir(root.join("versions")).ok());
    let versions = versions.into_iter().flatten().filter_map(Result::ok);
    versions.map(|version| version.path().join("bin/python3")).collect()
}
