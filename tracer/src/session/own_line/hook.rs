//! `--mark-py`: what Python is given to load, and what it has to say.
//!
//! Python imports a module `sitecustomize` before the program, if there is one. Ours is `python/mark_py.py`, in a folder at the
//! front of PYTHONPATH.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::cli::PythonFunction;

const HOOK: &str = include_str!("../../../../python/mark_py.py");
const MODULE: &str = include_str!("../../../../python/memtrace.py");

/// The hook's folder, and for which function it is.
#[derive(Debug)]
pub(super) struct Hook {
    function: PythonFunction,
    folder: PathBuf,
}

impl Hook {
    /// Writes it into a folder of its own.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(super) fn write(folder: &Path, function: &PythonFunction, every: u64) -> io::Result<Self> {
        let folder = folder.join("python");
        fs::create_dir(&folder)?;
        fs::write(folder.join("sitecustomize.py"), HOOK)?;
        fs::write(folder.join("memtrace.py"), MODULE)?;
        let PythonFunction { module, function: name } = function;
        fs::write(folder.join("settings"), format!("{module}\n{name}\n{every}\n"))?;
        Ok(Self { function: function.clone(), folder })
    }

    /// As it was asked for.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.function.module, self.function.function)
    }

    /// The variable that leads Python to it, and its value.
    pub(super) fn variable(&self) -> (&'static str, OsString) {
        const PATH: &str = "PYTHONPATH";
        let mut value = self.folder.clone().into_os_string();
        if let Some(earlier) = std::env::var_os(PATH).filter(|earlier| !earlier.is_empty()) {
            value.push(":");
            value.push(earlier);
        }
        (PATH, value)
    }

    /// Why no call was marked; `None` where one was.
    pub(super) fn failure(&self) -> Option<String> {
        failure(&self.name(), &self.function.module, &self.news())
    }

    /// What the hook wrote. The file is the command's: it may be anything.
    fn news(&self) -> String {
        const MOST: u64 = 64 << 10;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mut news = Vec::new();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(self.folder.join("news"));
        if let Ok(file) = file
            && file.metadata().is_ok_and(|metadata| metadata.is_file())
        {
            // As far as it can be read.
            let _ = file.take(MOST).read_to_end(&mut news);
        }
        String::from_utf8_lossy(&news).into_owned()
    }
}

/// From the hook's lines: `started`, `found`, `called`, `why REASON`, `elsewhere PID`.
fn failure(name: &str, module: &str, news: &str) -> Option<String> {
    let has = |word| news.lines().any(|line| line == word);
    let told = |word| news.lines().rev().find_map(|line| line.strip_prefix(word));
    if has("called") {
        return None;
    }
    let reason = if has("found") {
        "it was never called, or only while its module was being loaded".to_owned()
    } else if let Some(reason) = told("why ") {
        reason.chars().filter(|letter| !letter.is_control()).collect()
    } else if has("started") {
        format!("{module} was not imported, or did not have it by the end of the trace")
    } else if let Some(pid) = told("elsewhere ").and_then(|pid| pid.parse::<u32>().ok()) {
        format!(
            "Python ran in process {pid}, which the command started and which isn't traced; name Python itself as the command"
        )
    } else {
        "nothing of it was loaded: the command isn't Python, or it was started with -I, -E or -S, which keep sitecustomize off"
            .to_owned()
    };
    Some(format!("--mark-py {name}: no marks were made: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(news: &str) -> String {
        failure("app:handle", "app", news).unwrap_or_default()
    }

    #[test]
    fn each_ending_has_its_words() {
        assert_eq!(said("started\nfound\ncalled\n"), "");
        assert!(said("started\nfound\n").contains("it was never called"));
        let near = said("started\nwhy app has no handle; near names: handel\x1b[2J\n");
        assert!(near.ends_with("app has no handle; near names: handel[2J"), "{near}");
        assert!(said("started\n").contains("app was not imported"));
        assert!(said("elsewhere 12\nelsewhere 13\n").contains("process 13"));
        assert!(said("").contains("-I, -E or -S"));
        assert!(said("").starts_with("--mark-py app:handle: "));
    }
}
