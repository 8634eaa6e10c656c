//! What identifies a stack from build to build, and what moves.

use crate::symbolize::Frame;

/// How the traced program itself is called: its file has another name in many builds.
const PROGRAM: &str = "";

/// What compilers append to the names of parts and copies of a function.
const COPIES: [&str; 7] =
    [".cold", ".part.", ".constprop.", ".isra.", ".lto_priv.", ".llvm.", " [clone "];

/// What a frame keeps from build to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Stays<'a> {
    /// A function of an object.
    Function {
        /// The object's file name, without a version; [`PROGRAM`] for the traced program.
        module: &'a str,
        /// The function, without what the compiler appended.
        name: &'a str,
    },
    /// Code without a name. It stays only as long as the object does.
    Address {
        /// As above.
        module: &'a str,
        /// By the object's own headers.
        address: u64,
    },
}

/// Where in its function a frame is. Changes to the lines above move it, and keep its order among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Moves<'a> {
    /// The source file's name, without its folder.
    file: Option<&'a str>,
    /// The line; without one, bytes from the function's first one.
    at: u64,
}

impl<'a> Stays<'a> {
    /// Of a frame of the program whose file is called `program`.
    pub(super) fn of(frame: &'a Frame, program: &str) -> Self {
        let module = module_name(&frame.module, program);
        match frame.function.as_deref() {
            Some(name) => Self::Function { module, name: function_name(name) },
            None => Self::Address { module, address: frame.address },
        }
    }
}

impl<'a> Moves<'a> {
    /// Of a frame.
    pub(super) fn of(frame: &'a Frame) -> Self {
        match (frame.line, &frame.function) {
            (Some(line), _) => {
                Self { file: frame.file.as_deref().map(base_name), at: u64::from(line) }
            }
            (None, Some(_)) => Self { file: None, at: frame.offset },
            (None, None) => Self { file: None, at: 0 },
        }
    }
}

/// The last part of a path.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn module_name<'a>(module: &'a str, program: &str) -> &'a str {
    let name = base_name(module.strip_suffix(" (deleted)").unwrap_or(module));
    if !program.is_empty() && name == program {
        return PROGRAM;
    }
    // `libx.so.1.2`: a library keeps its name from version to version.
    name.find(".so.").map_or(name, |at| &name[..at + ".so".len()])
}

fn function_name(name: &str) -> &str {
    let copy = COPIES.iter().filter_map(|suffix| name.find(suffix)).filter(|at| *at > 0).min();
    copy.map_or(name, |at| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::{Moves, Stays};
    use crate::{
        analysis::samples::{at, frame, within},
        symbolize::Frame,
    };

    fn stays(frame: &Frame) -> Stays<'_> {
        Stays::of(frame, "app")
    }

    #[test]
    fn folders_versions_lines_and_copies_do_not_matter() {
        let leak = at("leak", "/build/1/app.c", 42);
        for other in [
            Frame { module: "/tmp/app (deleted)".to_owned(), ..leak.clone() },
            at("leak.constprop.0.isra.3", "/build/2/app.c", 50),
            at("leak [clone .cold]", "/build/2/app.c", 50),
            frame("leak.cold"),
        ] {
            assert_eq!(stays(&leak), stays(&other));
        }
        assert_eq!(Moves::of(&leak), Moves::of(&at("x", "/build/9/app.c", 42)));
        assert_ne!(Moves::of(&leak), Moves::of(&at("leak", "/build/1/app.c", 43)));
        let library = within("/lib/libx.so.1.2", "f");
        assert_eq!(stays(&library), stays(&within("/opt/libx.so.3", "f")));
        assert_ne!(stays(&library), stays(&within("/lib/liby.so.1", "f")));
        // Another name for the program of another run.
        let renamed = Frame { module: "/x/app-2".to_owned(), ..leak.clone() };
        assert_eq!(stays(&leak), Stays::of(&renamed, "app-2"));
        assert_ne!(stays(&leak), stays(&renamed));
    }

    #[test]
    fn code_without_a_name_is_known_by_its_address_only() {
        let (one, other) = (frame(""), Frame { address: 0x99, ..frame("") });
        assert_eq!(stays(&one), stays(&one.clone()));
        assert_ne!(stays(&one), stays(&other));
        assert_eq!(stays(&frame(".cold")), Stays::Function { module: "", name: ".cold" });
    }
}
