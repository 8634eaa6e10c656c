//! Which interpreters this machine has.

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use memtrace::python::Version;
use memtrace_tests::skip;

/// An interpreter of CPython.
#[derive(Clone, Debug)]
pub(crate) struct Python {
    path: PathBuf,
    pub(crate) version: Version,
}

impl Python {
    /// Starts it, in a way that what it prints is read as it is.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.env("PYTHONUTF8", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

impl fmt::Display for Python {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.version)
    }
}

/// Those whose frames are known. Says so where there are none.
pub(crate) fn interpreters() -> Vec<Python> {
    let found: Vec<_> =
        installed().into_iter().filter(|python| python.version.is_supported()).collect();
    if found.is_empty() {
        skip("no Python from 3.10 to 3.13 is installed");
    }
    found
}

/// All of them, by the binary that each of them says it is: what is called so may be a script that starts another one.
pub(crate) fn installed() -> Vec<Python> {
    let mut found = BTreeMap::new();
    for candidate in on_path().into_iter().chain(of_pyenv()) {
        if let Some(python) = ask(&candidate) {
            found.insert(python.path.clone(), python);
        }
    }
    found.into_values().collect()
}

fn ask(path: &Path) -> Option<Python> {
    let program = "import sys, os; v = sys.version_info; \
        print('%d.%d.%d %s' % (v[0], v[1], v[2], os.path.realpath(sys.executable)))";
    let output = Command::new(path).args(["-c", program]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (version, path) = text.trim_end().split_once(' ')?;
    // Another kind of interpreter has CPython's version, too.
    let is_cpython = path.contains("python");
    is_cpython.then_some(Python { path: path.into(), version: Version::from_text(version)? })
}

fn on_path() -> Vec<PathBuf> {
    let names =
        ["python3".to_owned()].into_iter().chain((10..=13).map(|it| format!("python3.{it}")));
    let names: Vec<_> = names.collect();
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/bin".into()]);
    folders
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)).collect::<Vec<_>>())
        .filter(|candidate| candidate.is_file())
        .collect()
}

fn of_pyenv() -> Vec<PathBuf> {
    let root = env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".pyenv")));
    let versions = root.into_iter().filter_map(|root| fs::read_dir(root.join("versions")).ok());
    versions
        .flat_map(Iterator::flatten)
        .map(|entry| entry.path().join("bin/python"))
        .filter(|candidate| candidate.is_file())
        .collect()
}
