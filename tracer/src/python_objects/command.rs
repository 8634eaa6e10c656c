//! What `exec` does so that each object of a command is counted: it has Python take them from the C allocator, one by one.
//!
//! `PYTHONMALLOC=malloc` works with every build, and costs no more than probes on Python's own allocator do.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use crate::python::switches;

/// The variable by which Python chooses an allocator.
pub const VARIABLE: &str = "PYTHONMALLOC";
/// Its value for the C allocator.
const MALLOC: &str = "malloc";
/// Values of others' with which objects come from the C allocator, too.
const FITTING: [&str; 2] = [MALLOC, "malloc_debug"];
/// Bytes of a script's first line that the kernel looks at, at most.
const FIRST_LINE: usize = 256;

/// What is done for a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandObjects {
    /// Variables for its environment.
    pub environment: Vec<(&'static str, OsString)>,
    /// Whether its objects will come from the C allocator, because of that or of whoever set the variable before.
    pub from_heap: bool,
    /// What keeps its objects from being counted.
    pub hindrance: Option<String>,
}

/// What is to be done for a command so that its objects are counted. `set` is what the environment has of [`VARIABLE`];
/// `any` says that the command is to be taken for Python's, whatever it is called.
pub fn for_command(command: &[OsString], set: Option<&OsStr>, any: bool) -> CommandObjects {
    let python = command.first().and_then(|program| Python::of(program));
    if python.is_none() && !any {
        return CommandObjects::default();
    }
    if python.as_ref().is_some_and(|python| python.is_free_threaded) {
        let hindrance = format!("a build without the GIL can't be run with {VARIABLE}={MALLOC}");
        return CommandObjects { hindrance: Some(hindrance), ..CommandObjects::default() };
    }
    // Python takes an empty one for none.
    if let Some(value) = set.filter(|value| !value.is_empty()) {
        let fits = FITTING.iter().any(|fitting| value == OsStr::new(fitting));
        let hindrance = format!("{VARIABLE} is set to {} already", value.display());
        return CommandObjects {
            environment: Vec::new(),
            from_heap: fits,
            hindrance: (!fits).then_some(hindrance),
        };
    }
    let options = python.map(|python| python.options).unwrap_or_default();
    let arguments = options.iter().map(OsString::as_os_str);
    let arguments = arguments.chain(command.iter().skip(1).map(OsString::as_os_str));
    let letters = switches(arguments.map(OsStr::as_bytes));
    let ignores = letters.iter().any(|letter| matches!(letter, b'E' | b'I'));
    CommandObjects {
        environment: vec![(VARIABLE, MALLOC.into())],
        from_heap: !ignores,
        hindrance: ignores
            .then(|| format!("its option -E or -I has Python ignore {VARIABLE}, which was set")),
    }
}

/// Whether a command is Python's, by its name or by the first line of its script.
pub fn is_python_command(command: &[OsString]) -> bool {
    command.first().is_some_and(|program| Python::of(program).is_some())
}

/// A command that is Python's.
struct Python {
    /// Options that a script's first line has.
    options: Vec<OsString>,
    /// Whether it is a build without the GIL, which has one allocator only, and ends at once where it is to have another.
    is_free_threaded: bool,
}

impl Python {
    fn of(program: &OsStr) -> Option<Self> {
        if is_python(Path::new(program)) {
            let is_free_threaded = is_free_threaded(program);
            return Some(Self { options: Vec::new(), is_free_threaded });
        }
        let line = first_line(&find(program)?)?;
        let mut words = line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
        let mut interpreter = Path::new(OsStr::from_bytes(words.next()?));
        if interpreter.file_name() == Some(OsStr::new("env")) {
            // `env -S python3 -u`, `env VARIABLE=value python3`
            let is_its_own = |word: &&[u8]| word.starts_with(b"-") || word.contains(&b'=');
            interpreter = Path::new(OsStr::from_bytes(words.find(|word| !is_its_own(word))?));
        }
        let options = words.map(|word| OsStr::from_bytes(word).to_owned()).collect();
        let is_free_threaded = is_free_threaded(interpreter.as_os_str());
        is_python(interpreter).then_some(Self { options, is_free_threaded })
    }
}

/// `python`, `python3`, `python3.12`, `python3.13t`; not `python3-config`, nor `pypy`.
fn is_python(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else { return false };
    let Some(version) = name.strip_prefix("python") else { return false };
    let version = version.strip_suffix(['t', 'd', 'm']).unwrap_or(version);
    version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// By the name of the program that is behind a link: `python3.13t`.
fn is_free_threaded(program: &OsStr) -> bool {
    let file = find(program).and_then(|path| path.canonicalize().ok());
    let file = file.unwrap_or_else(|| PathBuf::from(program));
    is_python(&file) && file.as_os_str().as_bytes().ends_with(b"t")
}

/// Where the shell would find a command.
fn find(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(program.into());
    }
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// What follows `#!` in a script.
fn first_line(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FIRST_LINE as u64).read_to_end(&mut bytes).ok()?;
    let line = bytes.strip_prefix(b"#!")?;
    line.split(|&byte| byte == b'\n').next().map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(Into::into).collect()
    }

    fn asked(line: &str) -> CommandObjects {
        for_command(&words(line), None, false)
    }

    #[test]
    fn python_is_known_by_its_name() {
        for line in ["python x.py", "/usr/bin/python3 -u x.py", "python3.13", "./python3.11"] {
            let objects = asked(line);
            assert_eq!(objects.environment, [(VARIABLE, MALLOC.into())], "{line}");
            assert!(objects.from_heap && objects.hindrance.is_none(), "{line}");
        }
        for line in ["ls", "pypy3 x.py", "python3-config --libs", "pythonic", "/python3/tool"] {
            assert_eq!(asked(line), CommandObjects::default(), "{line}");
        }
    }

    #[test]
    fn a_script_is_known_by_its_first_line() {
        let folder = tempfile::tempdir().expect("a folder");
        for (line, expected) in [
            ("#!/usr/bin/python3\n", true),
            ("#! /opt/bin/python3.12 -u\nimport x\n", true),
            ("#!/usr/bin/env python3\n", true),
            ("#!/usr/bin/env -S A=b python3 -u\n", true),
            ("#!/usr/bin/env", false),
            ("#!/bin/sh\npython3\n", false),
            ("python3\n", false),
            ("", false),
        ] {
            let script = folder.path().join("script");
            let mut file = File::create(&script).expect("a file");
            file.write_all(line.as_bytes()).expect("it is written");
            let objects = for_command(&[script.into()], None, false);
            assert_eq!(!objects.environment.is_empty(), expected, "{line:?}");
        }
    }

    #[test]
    fn a_build_without_the_gil_is_left_alone() {
        for line in ["python3.13t x.py", "/opt/python/bin/python3.14t"] {
            let objects = asked(line);
            assert!(objects.environment.is_empty() && !objects.from_heap, "{line}");
            assert!(objects.hindrance.is_some(), "{line}");
        }
    }

    #[test]
    fn any_command_is_python_s_if_asked_for() {
        assert!(for_command(&words("./server"), None, true).from_heap);
    }

    #[test]
    fn what_others_have_set_stays() {
        for (value, fits) in [("malloc", true), ("malloc_debug", true), ("pymalloc", false)] {
            let objects = for_command(&words("python3 x"), Some(OsStr::new(value)), true);
            assert!(objects.environment.is_empty(), "{value}");
            assert_eq!((objects.from_heap, objects.hindrance.is_none()), (fits, fits), "{value}");
        }
        assert!(for_command(&words("python3 x"), Some(OsStr::new("")), false).from_heap);
    }

    #[test]
    fn python_may_ignore_its_variables() {
        for (line, ignores) in [
            ("python3 -I x.py", true),
            ("python3 -uE -c pass", true),
            ("python3 -W ignore -X dev -I x.py", true),
            ("python3 x.py -I", false),
            ("python3 -c -I", false),
            ("python3 -mImport -E", false),
            ("python3 -WError x.py", false),
            ("python3 -u -", false),
        ] {
            assert_eq!(asked(line).hindrance.is_some(), ignores, "{line}");
        }
    }
}
