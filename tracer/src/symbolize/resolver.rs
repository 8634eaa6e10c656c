//! One ELF image's answers, through blazesym.

use std::path::{Component, Path, PathBuf};

use blazesym::symbolize::{CodeInfo, Input, Sym, Symbolized, Symbolizer, source};

use super::{demangle::demangle, guard::quietly, image::Image};

/// A place in a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// As the debug information has it, directory and all.
    pub(super) file: PathBuf,
    pub(super) line: Option<u32>,
}

/// What is known of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Demangled; `None` for debug information without a name.
    pub(super) function: Option<String>,
    /// The function's lowest address.
    pub(super) start: u64,
    pub(super) place: Option<Place>,
    /// The functions that are inlined there, outermost first.
    pub(super) inlined: Vec<(Option<String>, Option<Place>)>,
}

/// An image and blazesym's state for it.
pub(super) struct Resolver {
    blazesym: Symbolizer,
    image: Image,
}

impl Resolver {
    pub(super) fn new(image: Image) -> Self {
        Self { blazesym: build(), image }
    }

    /// Whether there is DWARF to ask.
    pub(super) fn has_debug(&self) -> bool {
        self.image.has_debug
    }

    /// Looks addresses up in DWARF (`debug`) or the symbol tables. One answer for each address. An error is
    /// the whole image's: a fault in its headers, or a panic over them.
    pub(super) fn resolve(
        &mut self,
        addresses: &[u64],
        debug: bool,
    ) -> Result<Vec<Option<Resolved>>, String> {
        let mut elf = source::Elf::new(self.image.path());
        elf.debug_syms = debug;
        let source = source::Source::Elf(elf);
        let answer = quietly(|| {
            let found = self.blazesym.symbolize(&source, Input::VirtOffset(addresses))?;
            Ok(found.into_iter().map(convert).collect())
        });
        match answer {
            Ok(result) => result.map_err(|error: blazesym::Error| format!("{error:#}")),
            Err(panic) => {
                let broken = std::mem::replace(&mut self.blazesym, build());
                self.image.has_debug &= !debug;
                // What a panic left half-done may panic again.
                _ = quietly(|| drop(broken));
                Err(panic)
            }
        }
    }
}

fn build() -> Symbolizer {
    // blazesym would take any name for a C++ type's: a C function `a` for `signed char`.
    Symbolizer::builder().set_debug_dirs(Some::<[PathBuf; 0]>([])).enable_demangling(false).build()
}

fn convert(symbolized: Symbolized<'_>) -> Option<Resolved> {
    let Sym { name, addr, code_info, inlined, .. } = symbolized.into_sym()?;
    let inlined = inlined.iter().map(|f| (named(&f.name), f.code_info.as_ref().map(place)));
    Some(Resolved {
        function: named(&name),
        start: addr,
        place: code_info.as_deref().map(place),
        inlined: inlined.collect(),
    })
}

fn named(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| demangle(name))
}

fn place(info: &CodeInfo<'_>) -> Place {
    Place { file: tidy(&info.to_path()), line: info.line.filter(|line| *line != 0) }
}

/// Without `.` components, so that one file has one name. `..` stays: what it means depends on links.
fn tidy(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}
