//! Where a running interpreter keeps what leads to its threads.

use super::{
    Memory, Unfit,
    accessor::{self, Outcome, Sum, Value},
    image::{Image, function, variable},
};
use crate::{target::Modules, units::ElfAddr};

/// Larger than any `_PyRuntime` (3.12's is 450 KiB, as objects lie in it).
const MAX_RUNTIME: u64 = 4 << 20;
/// Below this nothing is mapped: such an address is a sum with a word that the loader has not set yet.
const NULL_PAGES: u64 = 1 << 16;

/// Addresses in the process.
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
    /// `None`.
    pub(super) none: u64,
}

/// Finds them. `Ok(None)` where the object is not mapped, or not linked yet.
pub(super) fn find(
    image: &Image,
    modules: &Modules,
    memory: &Memory,
) -> Result<Option<Places>, Unfit> {
    let address = |at: ElfAddr| modules.address_of(image.id, at).map(|address| address.0);
    let variable = |name| address(image.variable(name));
    let Some(runtime) = variable(variable::RUNTIME) else { return Ok(None) };
    let mut linked = true;
    let mut of = |function, place: fn(Outcome) -> Option<u64>| {
        let (start, code) = image.function(function);
        let mut read = |at| memory.u64(at);
        let outcome = address(start).and_then(|start| accessor::follow(code, start, &mut read));
        let place = outcome.and_then(place);
        linked &= place.is_none_or(|place| place >= NULL_PAGES);
        let inside = |place: &u64| place.wrapping_sub(runtime) < MAX_RUNTIME;
        place.filter(inside).ok_or(Unfit::Code { object: image.path.to_string(), function })
    };
    let initialized = of(function::INITIALIZED, |it| returned(it, 4));
    let head = of(function::HEAD, |it| returned(it, 8));
    let key = of(function::THREAD, key);
    if !linked {
        return Ok(None);
    }
    let known = (variable(variable::CODE), variable(variable::TEXT), variable(variable::NONE));
    let (Some(code_type), Some(text_type), Some(none)) = known else { return Ok(None) };
    let (initialized, head, key) = (initialized?, head?, key?);
    Ok(Some(Places { runtime, initialized, head, key, code_type, text_type, none }))
}

/// Where the word is that a function returns.
fn returned(outcome: Outcome, len: usize) -> Option<u64> {
    match outcome.result {
        Value::At(place, found) if outcome.returns && found == len => constant(place),
        _ => None,
    }
}

/// Where the key is that a function hands on, by its address or, where the next function was inlined, itself.
fn key(outcome: Outcome) -> Option<u64> {
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
