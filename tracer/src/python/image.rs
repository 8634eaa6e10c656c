//! An interpreter's object, as far as its file tells.

use std::{collections::HashMap, path::Path, sync::Arc};

use super::{Unfit, Version, places::Places, unfit::Build, version_text};
use crate::{
    sites::{elf::Elf, symbols},
    target::{Module, ModuleId, Modules, read_object},
    units::ElfAddr,
};

/// What says which version it is: the function in all versions, the number from 3.11 on.
const VERSION_FUNCTION: &str = "Py_GetVersion";
const VERSION: &str = "Py_Version";

/// What only such builds export. A name that begins with one of these will do.
const TELL_TALES: [(&str, Build); 7] = [
    ("_Py_RefTotal", Build::Debug),
    ("_Py_GetRefTotal", Build::Debug),
    ("_Py_GetGlobalRefTotal", Build::Debug),
    ("_Py_NegativeRefcount", Build::Debug),
    ("_Py_PrintReference", Build::TraceRefs),
    ("_Py_MergeZeroLocalRefcount", Build::FreeThreaded),
    ("_Py_DecRefShared", Build::FreeThreaded),
];

/// An object that exports CPython, of a build that is known.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) id: ModuleId,
    pub(super) path: Arc<str>,
    pub(super) version: Version,
    /// By the object's own headers.
    pub(super) places: Places,
}

impl Image {
    /// What an object is: no interpreter (`None`), one whose frames are not known, or this.
    pub(super) fn of(module: &Module) -> Option<Result<Self, Unfit>> {
        let bytes = read_object(module.file.as_ref()?).ok()?;
        let elf = Elf::parse(&bytes).ok()?;
        let exported: HashMap<&str, _> =
            symbols::exported(&elf).into_iter().map(|symbol| (symbol.name, symbol)).collect();
        let says_version = exported.get(VERSION_FUNCTION)?;
        let object = module.path.display().to_string();
        let version = match symbols::variable(&elf, VERSION) {
            Some(address) => elf
                .bytes_from(address)
                .and_then(|bytes| bytes.first_chunk())
                .map(|bytes| Version::from_hex(u32::from_le_bytes(*bytes))),
            None => version_text::find(&elf, says_version),
        };
        let Some(version) = version else { return Some(Err(Unfit::NoVersion { object })) };
        if !version.is_supported() {
            return Some(Err(Unfit::Version { version }));
        }
        if let Some(build) = build(exported.keys().copied(), &elf, &module.path) {
            return Some(Err(Unfit::Build { build }));
        }
        let places = Places::find(&elf, &exported, &object);
        let path = object.into();
        Some(places.map(|places| Self { id: module.id, path, version, places }))
    }

    /// Where it keeps things in the process; `None` where it isn't mapped now.
    pub(super) fn places_in(&self, modules: &Modules) -> Option<Places> {
        let runtime = ElfAddr(self.places.runtime);
        let address = modules.address_of(self.id, runtime)?;
        Some(self.places.moved(address.0.wrapping_sub(runtime.0)))
    }
}

/// Whether an object may be an interpreter: only these are read. The executable always may.
pub(super) fn may_be_python(module: &Module) -> bool {
    let name = module.path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("libpython")
}

/// The build, where it is none that is known: by what it exports, or by its name's suffix (`python3.13t`).
fn build<'a>(
    functions: impl Iterator<Item = &'a str>,
    elf: &Elf<'_>,
    path: &Path,
) -> Option<Build> {
    let mut found: Vec<Build> = functions.filter_map(build_by_symbol).collect();
    let variables = TELL_TALES.iter().filter(|(name, _)| symbols::variable(elf, name).is_some());
    found.extend(variables.map(|(_, build)| *build));
    found.sort_by_key(|build| *build as u8);
    found.first().copied().or_else(|| build_by_name(path))
}

fn build_by_symbol(name: &str) -> Option<Build> {
    TELL_TALES.iter().find(|(tale, _)| name.starts_with(tale)).map(|(_, build)| *build)
}

/// By the letters that follow the version in `libpython3.13t.so.1.0` or `python3.11d`.
fn build_by_name(path: &Path) -> Option<Build> {
    let name = path.file_name()?.to_str()?;
    let (_, rest) = name.split_once("python3.")?;
    let flags = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let flags = &flags[..flags.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(flags.len())];
    match flags {
        flags if flags.contains('d') => Some(Build::Debug),
        flags if flags.contains('t') => Some(Build::FreeThreaded),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Build, build_by_name, build_by_symbol};
    use std::path::Path;

    #[test]
    fn what_is_exported_tells_the_build() {
        assert_eq!(build_by_symbol("_Py_NegativeRefcount"), Some(Build::Debug));
        assert_eq!(build_by_symbol("_Py_PrintReferenceAddresses"), Some(Build::TraceRefs));
        assert_eq!(build_by_symbol("_Py_DecRefShared"), Some(Build::FreeThreaded));
        assert_eq!(build_by_symbol("_Py_DecRef"), None);
        assert_eq!(build_by_symbol("Py_IsInitialized"), None);
    }

    #[test]
    fn a_name_tells_the_build() {
        let build = |name: &str| build_by_name(Path::new(name));
        assert_eq!(build("/usr/lib/libpython3.13t.so.1.0"), Some(Build::FreeThreaded));
        assert_eq!(build("/usr/bin/python3.11d"), Some(Build::Debug));
        assert_eq!(build("/opt/libpython3.13td.so.1.0"), Some(Build::Debug));
        assert_eq!(build("/usr/bin/python3.11"), None);
        assert_eq!(build("/usr/lib/x86_64-linux-gnu/libpython3.12.so.1.0"), None);
        assert_eq!(build("/usr/bin/uwsgi"), None);
    }
}
