//! Where an interpreter keeps what leads to its threads: by its file alone, so that nothing depends on how far the loader is.

use std::collections::HashMap;

use super::{
    Unfit,
    accessor::{self, Outcome, Sum, Value},
};
use crate::{
    sites::{
        elf::Elf,
        linkage::Linkage,
        symbols::{self, Symbol},
    },
    units::ElfAddr,
};

/// Larger than any `_PyRuntime` (3.12's is 450 KiB, as objects lie in it).
const MAX_RUNTIME: u64 = 4 << 20;

/// Addresses, by the object's own headers or in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// `_PyRuntime`.
    pub(super) runtime: u64,
    /// Whether the interpreter is initialized; 32 bits.
    pub(super) initialized: u64,
    /// The address of the first `PyInterpreterState`.
    pub(super) head: u64,
    /// Whether threads have a key yet (32 bits), and after it the key.
    pub(super) key: u64,
    /// `PyCode_Type`.
    pub(super) code_type: u64,
    /// `PyUnicode_Type`.
    pub(super) text_type: u64,
    /// `PyBytes_Type`.
    pub(super) bytes_type: u64,
    /// `None`.
    pub(super) none: u64,
}

impl Places {
    /// By the object's own headers.
    pub(super) fn find(
        elf: &Elf<'_>,
        exported: &HashMap<&str, Symbol<'_>>,
        object: &str,
    ) -> Result<Self, Unfit> {
        let missing = |symbol| Unfit::Symbol { object: object.to_owned(), symbol };
        let variable = |name| {
            symbols::variable(elf, name).map(|address| address.0).ok_or_else(|| missing(name))
        };
        let runtime = variable("_PyRuntime")?;
        let linkage = Linkage::new(elf);
        let mut slot = |at| Some(linkage.behind(ElfAddr(at))?.address?.0);
        let mut of = |function, place: fn(Outcome) -> Option<u64>| {
            let symbol = exported.get(function).ok_or_else(|| missing(function))?;
            elf.code(symbol.address, symbol.size)
                .map(|code| accessor::follow(code, symbol.address.0, &mut slot))
                .into_iter()
                .flatten()
                .filter_map(place)
                .find(|place| place.wrapping_sub(runtime) < MAX_RUNTIME)
                .ok_or_else(|| Unfit::Code { object: object.to_owned(), function })
        };
        Ok(Self {
            runtime,
            initialized: of("Py_IsInitialized", |it| returned(it, 4))?,
            head: of("PyInterpreterState_Head", |it| returned(it, 8))?,
            key: of("PyGILState_GetThisThreadState", passed_on)?,
            code_type: variable("PyCode_Type")?,
            text_type: variable("PyUnicode_Type")?,
            bytes_type: variable("PyBytes_Type")?,
            none: variable("_Py_NoneStruct")?,
        })
    }

    /// In a process where the object is mapped so much further up; may wrap.
    pub(super) fn moved(self, by: u64) -> Self {
        let moved = |address: u64| address.wrapping_add(by);
        Self {
            runtime: moved(self.runtime),
            initialized: moved(self.initialized),
            head: moved(self.head),
            key: moved(self.key),
            code_type: moved(self.code_type),
            text_type: moved(self.text_type),
            bytes_type: moved(self.bytes_type),
            none: moved(self.none),
        }
    }
}

/// Where the word is that a function returns.
fn returned(outcome: Outcome, len: usize) -> Option<u64> {
    match outcome.result {
        Value::At(place, found) if outcome.returns && found == len => constant(place),
        _ => None,
    }
}

/// Where the key is that a function hands on, by its address or, where the next function was inlined, itself.
fn passed_on(outcome: Outcome) -> Option<u64> {
    match outcome.argument {
        _ if outcome.returns => None,
        Value::Sum(place) => constant(place),
        Value::At(place, 4) => constant(place)?.checked_sub(4),
        Value::At(..) | Value::Unknown => None,
    }
}

fn constant(sum: Sum) -> Option<u64> {
    (sum == Sum::of(sum.constant)).then_some(sum.constant)
}
