//! Reads the allocator tables of a running interpreter.

use std::io;

use crate::{
    python::Memory,
    sites::TablePlace,
    target::{ModuleId, Modules},
    units::{Addr, ElfAddr, Pid},
};

/// Words of a table: the context and four functions.
const WORDS: usize = 5;
/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// The functions in a table: `malloc`, `calloc`, `realloc`, `free`.
pub(super) type Functions = [Addr; 4];

/// The tables of a process, in its memory.
pub(super) struct Tables(Memory);

impl Tables {
    /// Those of a process.
    pub(super) fn of_process(pid: Pid) -> io::Result<Self> {
        Memory::of_process(pid).map(Self).map_err(io::Error::other)
    }

    /// The functions in the table of an object at this place.
    pub(super) fn functions(
        &self,
        modules: &Modules,
        module: ModuleId,
        place: TablePlace,
    ) -> io::Result<Functions> {
        let [_context, functions @ ..] = self.table(modules, module, place)?;
        Ok(functions.map(Addr))
    }

    /// The context in that table: what a function works on that passes requests on to others.
    pub(super) fn context(
        &self,
        modules: &Modules,
        module: ModuleId,
        place: TablePlace,
    ) -> io::Result<u64> {
        let [context, ..] = self.table(modules, module, place)?;
        Ok(context)
    }

    fn table(
        &self,
        modules: &Modules,
        module: ModuleId,
        place: TablePlace,
    ) -> io::Result<[u64; WORDS]> {
        let address_of = |address: ElfAddr| {
            let unmapped = || io::Error::new(io::ErrorKind::NotFound, "its code is not mapped");
            modules.address_of(module, address).ok_or_else(unmapped)
        };
        let table = match place {
            TablePlace::At(address) => address_of(address)?.0,
            TablePlace::Behind { slot, offset } => {
                let [base] = self.words(address_of(slot)?.0)?;
                base.wrapping_add(offset)
            }
        };
        self.words(table)
    }

    fn words<const N: usize>(&self, address: u64) -> io::Result<[u64; N]> {
        let mut words = [0; N];
        for (word, index) in words.iter_mut().zip(0..) {
            let mut bytes = [0; WORD];
            self.0.read(address.wrapping_add(index * WORD as u64), &mut bytes)?;
            *word = u64::from_ne_bytes(bytes);
        }
        Ok(words)
    }
}
