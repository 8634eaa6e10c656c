//! One mapped object: its image, its debug file's, and which of them knows an address.

use std::{fs::File, io, path::Path};

use tracing::warn;

use super::{
    debug_file,
    elf::Elf,
    image::{Image, MAX_DEBUG},
    resolver::{Resolved, Resolver},
    root::{SourceRoot, reopen},
};
use crate::target::Module;

/// Everything that can answer for one module. Empty when nothing could be read.
pub(super) struct Object {
    /// The debug file first: its symbol table is the fuller one.
    resolvers: Vec<Resolver>,
    name: String,
    warned: bool,
}

impl Object {
    /// Reads a module, with at most `room` bytes of DWARF. A fault is logged, once, and leaves an object that
    /// knows nothing.
    pub(super) fn load(module: &Module, roots: &[SourceRoot], room: &mut u64) -> Self {
        let name = module.path.display().to_string();
        let mut object = Self { resolvers: Vec::new(), name, warned: false };
        if let Some(file) = &module.file
            && let Err(error) = object.read(file, &module.path, roots, room)
        {
            object.warn(&error.to_string());
        }
        object
    }

    fn read(
        &mut self,
        file: &File,
        path: &Path,
        roots: &[SourceRoot],
        room: &mut u64,
    ) -> io::Result<()> {
        let elf = Elf::read(reopen(file)?)?;
        if !elf.has_debug_info
            && let Some(found) = debug_file::find(&elf, path, roots)
        {
            self.add(&found.file, &found.elf, room)
                .unwrap_or_else(|error| self.warn(&error.to_string()));
        }
        self.add(file, &elf, room)
    }

    fn add(&mut self, file: &File, elf: &Elf, room: &mut u64) -> io::Result<()> {
        let image = Image::copy(file, elf, room)?;
        if elf.has_debug_info && !image.has_debug {
            let size = elf.debug_bytes >> 20;
            let limit = MAX_DEBUG >> 20;
            self.warn(&format!(
                "{size} MiB of debug information is above the limit of {limit} MiB"
            ));
        }
        self.resolvers.push(Resolver::new(image));
        Ok(())
    }

    /// Looks up addresses, which are best sorted. The answers are in the same order; `None` where nothing is
    /// known.
    pub(super) fn resolve(&mut self, addresses: &[u64]) -> Vec<Option<Resolved>> {
        let symbols = self.ask(addresses, false);
        let debug = self.ask(addresses, true);
        debug.into_iter().zip(symbols).map(|(debug, symbol)| merge(debug, symbol)).collect()
    }

    /// Asks each resolver for what the ones before it did not know.
    fn ask(&mut self, addresses: &[u64], debug: bool) -> Vec<Option<Resolved>> {
        let mut answers = vec![None; addresses.len()];
        let mut faults = Vec::new();
        for resolver in self.resolvers.iter_mut().filter(|r| !debug || r.has_debug()) {
            let open: Vec<usize> = (0..answers.len()).filter(|i| answers[*i].is_none()).collect();
            let asked: Vec<u64> = open.iter().map(|i| addresses[*i]).collect();
            match resolver.resolve(&asked, debug) {
                Ok(found) => open.into_iter().zip(found).for_each(|(i, it)| answers[i] = it),
                Err(fault) => faults.push(fault),
            }
        }
        for fault in &faults {
            self.warn(fault);
        }
        answers
    }

    fn warn(&mut self, fault: &str) {
        if !std::mem::replace(&mut self.warned, true) {
            warn!("{}: functions and lines may be missing: {fault}", self.name);
        }
    }
}

/// DWARF has the lines and the name that belongs to them, but one range around all the parts of a function
/// that the compiler split (`f`, `f.cold`); where a part starts, the symbol table knows.
fn merge(debug: Option<Resolved>, symbol: Option<Resolved>) -> Option<Resolved> {
    match (debug, symbol) {
        (Some(debug), Some(symbol)) => Some(Resolved {
            function: fuller(debug.function, symbol.function),
            start: symbol.start,
            ..debug
        }),
        (debug, symbol) => debug.or(symbol),
    }
}

/// The name in DWARF, unless it is bare (`raw`: gcc leaves the linkage name of a C++ function out where
/// nothing else can refer to it) and the symbol's is whole (`store::raw(int)`).
fn fuller(debug: Option<String>, symbol: Option<String>) -> Option<String> {
    match (debug, symbol) {
        (Some(debug), Some(symbol)) => {
            let whole = symbol.split(" [clone").next().unwrap_or_default();
            let better = !debug.contains('(') && whole.contains(&format!("{debug}("));
            Some(if better { whole.to_owned() } else { debug })
        }
        (debug, symbol) => debug.or(symbol),
    }
}
