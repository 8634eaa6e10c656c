//! Small programs, compiled below a directory that plays the target's root.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use iced_x86::{Decoder, DecoderOptions, FlowControl};
use object::{Object, ObjectSection, ObjectSymbol};
use tempfile::TempDir;

use crate::{
    symbolize::{Frame, SourceRoot, Symbolizer},
    target::{Location, Module, ModuleId},
    units::ElfAddr,
};

/// `leak` is inlined into `parse_header`, which `main` calls.
pub(super) const C: &str = r"#include <stdlib.h>
__attribute__((noinline)) void *sink(size_t n) { return malloc(n); }
static inline __attribute__((always_inline)) char *leak(size_t n) {
    char *p = sink(n);
    *p = 1;
    return p;
}
__attribute__((noinline)) char *parse_header(int n) {
	char *p = leak(n + 7);  // grows
    p[1] = 2;
    return p;
}
int main(int argc, char **argv) {
    return parse_header(argc)[1] + parse_header(argc + 1)[0];
}
";

/// A program below its own root.
pub(super) struct Program {
    pub(super) root: TempDir,
    /// Its path on this machine.
    pub(super) path: PathBuf,
}

impl Program {
    /// Compiles `source`, which the debug information then calls `/<name>`, into `/app`.
    pub(super) fn compile(compiler: &str, name: &str, source: &str, flags: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let (file, path) = (root.path().join(name), root.path().join("app"));
        fs::write(&file, source).unwrap();
        let prefix = format!("{}/=/", root.path().display());
        let mut command = Command::new(compiler);
        match compiler {
            "rustc" => command.args(["--edition=2024", "--remap-path-prefix", &prefix]),
            _ => command.arg(format!("-ffile-prefix-map={prefix}")),
        };
        run(command.args(flags).arg(&file).arg("-o").arg(&path));
        Self { root, path }
    }

    pub(super) fn c(flags: &[&str]) -> Self {
        Self::compile("cc", "app.c", C, flags)
    }

    /// Runs a binutils tool in the root.
    pub(super) fn tool(&self, tool: &str, args: &[&str]) {
        run(Command::new(tool).args(args).current_dir(self.root.path()));
    }

    pub(super) fn source_root(&self) -> SourceRoot {
        SourceRoot::at(self.root.path(), rustix::process::getuid().as_raw()).unwrap()
    }

    /// The module as a process would have mapped it, at `/app`.
    pub(super) fn module(&self) -> Arc<Module> {
        let file = Some(Arc::new(File::open(&self.path).unwrap()));
        Arc::new(Module { id: ModuleId(0), path: "/app".into(), file })
    }

    /// Symbolizes one address with a new symbolizer.
    pub(super) fn frames(&self, address: ElfAddr) -> Vec<Frame> {
        let stack = vec![Location::InModule(ModuleId(0), address)];
        let mut symbolizer = Symbolizer::new(Some(self.source_root()));
        symbolizer.symbolize(&[self.module()], &[stack], |_| None).remove(0)
    }

    /// Where the first call in `function` (by a part of its name) returns to, and the function's start.
    pub(super) fn first_call(&self, function: &str) -> (ElfAddr, u64) {
        self.first_call_in(|name| name.contains(function))
    }

    /// The same, by the function's whole name.
    pub(super) fn first_call_exactly(&self, function: &str) -> (ElfAddr, u64) {
        self.first_call_in(|name| name == function)
    }

    fn first_call_in(&self, is: impl Fn(&str) -> bool) -> (ElfAddr, u64) {
        let data = fs::read(&self.path).unwrap();
        let file = object::File::parse(&*data).unwrap();
        let symbol =
            file.symbols().find(|symbol| symbol.size() > 0 && is(symbol.name().unwrap())).unwrap();
        let section = file.section_by_index(symbol.section_index().unwrap()).unwrap();
        let code = section.data_range(symbol.address(), symbol.size()).unwrap().unwrap();
        let decoder = Decoder::with_ip(64, code, symbol.address(), DecoderOptions::NONE);
        let calls = [FlowControl::Call, FlowControl::IndirectCall];
        let call = decoder.into_iter().find(|it| calls.contains(&it.flow_control())).unwrap();
        (ElfAddr(call.next_ip()), symbol.address())
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What is worth comparing of a frame: function, file, line, source, inlined.
pub(super) type Shown<'a> = (Option<&'a str>, Option<&'a str>, Option<u32>, Option<&'a str>, bool);

pub(super) fn shown(frames: &[Frame]) -> Vec<Shown<'_>> {
    frames.iter().map(show).collect()
}

fn show(f: &Frame) -> Shown<'_> {
    (f.function.as_deref(), f.file.as_deref(), f.line, f.source.as_deref(), f.inlined)
}

/// Puts a file below a root, with its directories.
pub(super) fn put(root: &Path, path: &str, from: &Path) {
    let to = root.join(path);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(from, to).unwrap();
}
