//! Decodes where the allocator tables are, from the exported functions that call through them.
//!
//! `PyObject_Malloc` and its kin load the table's context and one of its functions, and jump there. In 3.10 and 3.11
//! the tables are variables of the interpreter; from 3.12 on they are parts of `_PyRuntime`, which a shared library
//! reaches through its global offset table. Each of the eight functions must lead to the place in the table that its
//! name says, with the context of the same table: anything else is refused.

use std::collections::HashSet;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register};

use super::{
    error::TableError,
    moves::{Registers, Value},
};
use crate::{
    sites::{elf::Elf, symbols},
    units::ElfAddr,
};

pub use super::moves::TablePlace;

/// x86's bitness as the decoder counts it.
const BITS: u32 = 64;
/// Bytes of code that are looked at, at a time.
const STRETCH: u64 = 256;
/// Instructions until the call, at most. The longest way that is known has about 30.
const MAX_INSTRUCTIONS: usize = 64;
/// `PyMemAllocatorEx`: the context, then these.
const FUNCTIONS: [&str; 4] = ["Malloc", "Calloc", "Realloc", "Free"];
/// Bytes of a word.
const WORD: u64 = 8;

/// Where an interpreter has its allocator tables, each of which is five words: context, `malloc`, `calloc`, `realloc`,
/// `free`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectTables {
    /// For objects.
    pub object: TablePlace,
    /// For other memory of Python's, by default with the same functions.
    pub memory: TablePlace,
    /// For what goes to the C allocator as it is.
    pub raw: TablePlace,
}

/// Finds the tables of the interpreter that an object has; `None` if it has none.
///
/// # Errors
///
/// Where there is an interpreter whose code has another form than is known.
pub fn object_tables(object: &[u8]) -> Result<Option<ObjectTables>, TableError> {
    let Ok(elf) = Elf::parse(object) else { return Ok(None) };
    let exported = symbols::exported(&elf);
    let start = |name: &str| {
        exported.iter().find(|symbol| symbol.name == name).map(|symbol| symbol.address)
    };
    if start("PyObject_Malloc").is_none() || start("Py_IsInitialized").is_none() {
        return Ok(None);
    }
    let table = |prefix: &str| {
        let mut place = None;
        for (name, index) in FUNCTIONS.iter().zip(1..) {
            let function = format!("{prefix}{name}");
            let Some(start) = start(&function) else {
                return Err(TableError::Missing { function });
            };
            let found = table_of_call(&elf, start, index);
            if found.is_none() || place.is_some() && place != found {
                return Err(TableError::Unknown { function });
            }
            place = found;
        }
        place.ok_or_else(|| TableError::Missing { function: prefix.to_owned() })
    };
    Ok(Some(ObjectTables {
        object: table("PyObject_")?,
        memory: table("PyMem_")?,
        raw: table("PyMem_Raw")?,
    }))
}

/// The table through whose `index`th word the function at `start` calls.
fn table_of_call(elf: &Elf<'_>, start: ElfAddr, index: u64) -> Option<TablePlace> {
    let mut registers = Registers::new();
    let mut at = start.0;
    let mut seen = HashSet::new();
    // Whether the last comparison was of a word of memory with an address: of a function's, so that a call that is
    // often made can be made directly.
    let mut guard = false;
    while seen.len() < MAX_INSTRUCTIONS {
        let code = elf.code(ElfAddr(at), STRETCH)?;
        let mut decoder = Decoder::with_ip(BITS, code, at, DecoderOptions::NONE);
        let instruction = decoder.decode();
        if instruction.is_invalid() || !seen.insert(at) {
            return None;
        }
        at = instruction.next_ip();
        match instruction.flow_control() {
            FlowControl::IndirectBranch | FlowControl::IndirectCall => {
                let function = registers.operand(&instruction, 0)?;
                let Some(Value::Word(context)) = registers.value(Register::RDI) else {
                    return None;
                };
                return (function == Value::Word(context.plus(index * WORD))).then_some(context);
            }
            FlowControl::UnconditionalBranch => at = instruction.near_branch_target(),
            // The way on which the function is any.
            FlowControl::ConditionalBranch if guard && instruction.mnemonic() == Mnemonic::Jne => {
                at = instruction.near_branch_target();
            }
            FlowControl::ConditionalBranch | FlowControl::Next | FlowControl::Call => {}
            _ => return None,
        }
        if instruction.rflags_modified() != 0 {
            guard = instruction.mnemonic() == Mnemonic::Cmp && is_guard(&registers, &instruction);
        }
        registers.step(&instruction);
    }
    None
}

fn is_guard(registers: &Registers, comparison: &Instruction) -> bool {
    let operands = [0, 1].map(|operand| registers.operand(comparison, operand));
    operands.iter().any(|operand| matches!(operand, Some(Value::Word(_))))
        && operands.iter().any(|operand| matches!(operand, Some(Value::Address(_))))
}
