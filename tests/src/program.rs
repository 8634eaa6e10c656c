//! Programs to trace, compiled from `tests/programs/`.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{Target, binary::target_folder};

/// A compiled program.
#[derive(Clone, Debug)]
pub struct Program {
    source: PathBuf,
    path: PathBuf,
}

impl Program {
    /// Compiles `tests/programs/<name>` with these flags, or takes what an earlier test made of the same
    /// source.
    ///
    /// # Errors
    ///
    /// What the compiler says.
    pub fn compile(name: &str, flags: &[&str]) -> Result<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name);
        let language = match source.extension().and_then(|extension| extension.to_str()) {
            Some("cc") => Language::Cpp,
            Some("rs") => Language::Rust,
            _ => Language::C,
        };
        let text = fs::read(&source).with_context(|| source.display().to_string())?;
        let mut hasher = DefaultHasher::new();
        (&source, text, flags, headers(&source)?).hash(&mut hasher);
        let stem = source.file_stem().unwrap_or_default().to_string_lossy();
        let folder = target_folder()?.join("test-programs");
        let path = folder.join(format!("{stem}-{:016x}", hasher.finish()));
        if !path.exists() {
            fs::create_dir_all(&folder)?;
            // Tests run side by side: each makes its own, and the last one to finish puts it in place.
            let scratch = tempfile::Builder::new().prefix("building-").tempdir_in(&folder)?;
            let built = scratch.path().join("program");
            compile(language, &source, &built, flags)?;
            if !path.exists() {
                fs::rename(&built, &path)?;
            }
        }
        Ok(Self { source, path })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of its source, as debug information has it.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// The number of the one line of its source that has `text` in it, and the line without indentation.
    ///
    /// # Errors
    ///
    /// Where there is none, or more than one.
    pub fn line_of(&self, text: &str) -> Result<(u64, String)> {
        let source = fs::read_to_string(&self.source)?;
        let mut found = source.lines().zip(1..).filter(|(line, _)| line.contains(text));
        let (line, number) =
            found.next().with_context(|| format!("no {text:?} in {}", self.source.display()))?;
        ensure!(found.next().is_none(), "{text:?} is more than once in {}", self.source.display());
        Ok((number, line.trim().to_owned()))
    }

    /// A command that runs it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments);
        command
    }

    /// Starts it and waits until it says `ready`.
    ///
    /// # Errors
    ///
    /// Where it does not.
    pub fn start(&self, arguments: &[&str]) -> Result<Target> {
        let mut target = Target::start(&mut self.command(arguments))?;
        target.expect("ready")?;
        Ok(target)
    }
}

/// The headers beside a source; their names and text.
fn headers(source: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut headers = Vec::new();
    for entry in fs::read_dir(source.parent().context("a source without a folder")?)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "h") {
            headers.push((path.clone(), fs::read(path)?));
        }
    }
    headers.sort();
    Ok(headers)
}

/// What a program is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    C,
    Cpp,
    Rust,
}

fn compile(language: Language, source: &Path, output: &Path, flags: &[&str]) -> Result<()> {
    let compiler = match language {
        Language::C => "cc",
        Language::Cpp => "c++",
        Language::Rust => "rustc",
    };
    let mut command = Command::new(compiler);
    match language {
        Language::C | Language::Cpp => command.args(["-Wall", "-Wextra", "-Werror", "-g"]),
        Language::Rust => command.args(["--edition", "2024", "-g"]),
    };
    // Libraries among the flags have to follow what needs them.
    let made = command.arg("-o").arg(output).arg(source).args(flags).stdin(Stdio::null()).output();
    let made = made.with_context(|| format!("{compiler} can't be started"))?;
    ensure!(
        made.status.success(),
        "{compiler} {}: {}",
        source.display(),
        String::from_utf8_lossy(&made.stderr)
    );
    Ok(())
}
