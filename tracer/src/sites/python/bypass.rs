//! Finds code that does an allocator function's work without calling it.
//!
//! A compiler that knows which function a table mostly holds turns `table.malloc(…)` into "if that is `_PyObject_Malloc`,
//! then" a copy of its body, "else" the call (GCC with a profile: nearly everywhere in the interpreters of some
//! distributions). Such a copy hits no probe. What gives it away is a comparison with the function's address.
//!
//! So every place that has the address is looked at: one that stores it (which fills a table), or compares with it and does
//! not go on to a call through a pointer where it differs (which asks for the mode), is harmless. All others count.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind,
    Register,
};
use object::{
    elf::{ET_EXEC, PF_X, PT_LOAD},
    read::elf::{FileHeader as _, ProgramHeader as _},
};

use super::moves::{is_clobbered, writes};
use crate::{
    sites::{
        elf::{ENDIAN, Elf},
        linkage::Linkage,
    },
    units::ElfAddr,
};

/// x86's bitness as the decoder counts it.
const BITS: u32 = 64;
/// Bytes of an address or a distance within an instruction.
const FIELD: usize = 4;
/// The longest instruction, in bytes.
const MAX_LEN: usize = 15;
/// Instructions that are followed from where an address is taken, or from a branch, at most.
const MAX_FOLLOWED: usize = 48;

/// A place where an allocator function's work may be done without calling it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bypass {
    /// Where.
    pub at: ElfAddr,
    /// The function that is not called.
    pub function: ElfAddr,
}

/// All such places in an object, by address.
pub fn bypasses(object: &[u8], functions: &[ElfAddr]) -> Vec<Bypass> {
    let Ok(elf) = Elf::parse(object) else { return Vec::new() };
    // Elsewhere no instruction has an address itself in it: it isn't known before the object is loaded.
    let absolute = elf.header.e_type(ENDIAN) == ET_EXEC;
    let linkage = Linkage::new(&elf);
    let mut found = Vec::new();
    for segment in elf.segments {
        if segment.p_type(ENDIAN) != PT_LOAD || segment.p_flags(ENDIAN) & PF_X == 0 {
            continue;
        }
        let start = segment.p_vaddr(ENDIAN);
        let Ok(code) = segment.data(ENDIAN, elf.data) else { continue };
        let text = Text { code, start, absolute, linkage: &linkage };
        for (end, function) in text.mentions(functions) {
            let instruction = text.ending_at(end, function);
            if let Some(instruction) = instruction.filter(|at| text.goes_past(at, function)) {
                found.push(Bypass { at: ElfAddr(instruction.ip()), function: ElfAddr(function) });
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// A segment's code.
struct Text<'a> {
    code: &'a [u8],
    start: u64,
    /// Whether it lies where the file says.
    absolute: bool,
    linkage: &'a Linkage<'a>,
}

/// What became of an address that a register holds.
enum Fate {
    /// It was stored.
    Stored,
    /// It was compared with something, by the instruction here.
    Compared(Instruction),
    /// Something else.
    Unknown,
}

/// How a way through the code goes on.
#[derive(PartialEq, Eq)]
enum Way {
    /// A call or jump by a pointer comes first.
    CallsByPointer,
    /// A call or jump to the function itself does.
    CallsFunction,
    /// It returns, or calls something else: what is compared is not what is called.
    Otherwise,
    /// None of these, as far as it was followed.
    Unknown,
}

impl Text<'_> {
    /// Where there may be an address of one of the functions, as an instruction's last field: the end of the field, and the
    /// function.
    fn mentions(&self, functions: &[ElfAddr]) -> Vec<(usize, u64)> {
        let mut mentions = Vec::new();
        // The fields have the low half of an address or of a distance; which instruction it is says if that is all.
        let low: Vec<u32> = functions.iter().map(|function| function.0 as u32).collect();
        let start = self.start as u32;
        for (end, field) in (FIELD..).zip(self.code.windows(FIELD)) {
            let Ok(field) = <[u8; FIELD]>::try_from(field) else { continue };
            let field = u32::from_le_bytes(field);
            let relative = field.wrapping_add(start).wrapping_add(end as u32);
            for (&low, function) in low.iter().zip(functions) {
                if relative == low || (self.absolute && field == low) {
                    mentions.push((end, function.0));
                }
            }
        }
        mentions
    }

    /// The instruction that ends there and takes the function's address or compares with it.
    fn ending_at(&self, end: usize, function: u64) -> Option<Instruction> {
        let earliest = end.saturating_sub(MAX_LEN);
        (earliest..end - FIELD).find_map(|from| {
            let instruction = self.decode(from)?;
            let is_whole = from + instruction.len() == end;
            (is_whole && has_address(&instruction, function)).then_some(instruction)
        })
    }

    /// Whether the work of the function may be done without calling it, from this instruction on, which has its address.
    fn goes_past(&self, instruction: &Instruction, function: u64) -> bool {
        if instruction.mnemonic() == Mnemonic::Cmp {
            return self.is_guard(instruction, function);
        }
        if instruction.mnemonic() == Mnemonic::Mov && instruction.op0_kind() == OpKind::Memory {
            return false;
        }
        match self.fate(instruction.next_ip(), instruction.op0_register().full_register()) {
            Fate::Stored => false,
            Fate::Compared(comparison) => self.is_guard(&comparison, function),
            Fate::Unknown => true,
        }
    }

    /// What becomes of the address in `register`.
    fn fate(&self, mut at: u64, register: Register) -> Fate {
        let mut facts = InstructionInfoFactory::new();
        let mut stored = false;
        for _ in 0..MAX_FOLLOWED {
            let Some(instruction) = self.at(at) else { break };
            at = instruction.next_ip();
            let is_operand = |operand| {
                instruction.op_kind(operand) == OpKind::Register
                    && instruction.op_register(operand).full_register() == register
            };
            let takes_part = (0..instruction.op_count()).any(is_operand);
            if instruction.mnemonic() == Mnemonic::Cmp && takes_part {
                return Fate::Compared(instruction);
            }
            let is_read = instruction.op_count() == 2 && is_operand(1);
            stored |= is_read
                && (instruction.op0_kind() == OpKind::Memory
                    || instruction.op0_register().is_vector_register());
            let used = facts.info(&instruction).used_registers();
            let is_lost =
                used.iter().any(|u| u.register().full_register() == register && writes(u.access()))
                    || (instruction.flow_control() == FlowControl::Call && is_clobbered(register));
            match instruction.flow_control() {
                FlowControl::UnconditionalBranch => at = instruction.near_branch_target(),
                FlowControl::Next | FlowControl::ConditionalBranch | FlowControl::Call => {}
                _ => break,
            }
            if is_lost {
                break;
            }
        }
        if stored { Fate::Stored } else { Fate::Unknown }
    }

    /// Whether a comparison with the function's address decides between a call by pointer and something else than a call
    /// of the function.
    fn is_guard(&self, comparison: &Instruction, function: u64) -> bool {
        let mut at = comparison.next_ip();
        // What comes between moves arguments about.
        for _ in 0..MAX_FOLLOWED {
            let Some(next) = self.at(at) else { return true };
            let (taken, on) = (next.near_branch_target(), next.next_ip());
            let (equal, other) = match next.mnemonic() {
                Mnemonic::Je => (taken, on),
                Mnemonic::Jne => (on, taken),
                Mnemonic::Sete | Mnemonic::Setne => return false,
                _ if next.flow_control() == FlowControl::Next && next.rflags_modified() == 0 => {
                    at = on;
                    continue;
                }
                _ => return true,
            };
            return self.way(equal, function) != Way::CallsFunction
                && self.way(other, function) != Way::Otherwise;
        }
        true
    }

    /// What comes first on a way. Where it branches, straight on.
    fn way(&self, mut at: u64, function: u64) -> Way {
        for _ in 0..MAX_FOLLOWED {
            let Some(instruction) = self.at(at) else { break };
            at = instruction.next_ip();
            match instruction.flow_control() {
                FlowControl::IndirectCall | FlowControl::IndirectBranch => {
                    let named = self.is_linked(&instruction);
                    return if named { Way::Otherwise } else { Way::CallsByPointer };
                }
                FlowControl::Return => return Way::Otherwise,
                FlowControl::Call | FlowControl::UnconditionalBranch => {
                    let target = instruction.near_branch_target();
                    if target == function {
                        return Way::CallsFunction;
                    }
                    if instruction.flow_control() == FlowControl::Call {
                        return Way::Otherwise;
                    }
                    at = target;
                }
                FlowControl::Next | FlowControl::ConditionalBranch => {}
                _ => break,
            }
        }
        Way::Unknown
    }

    /// Whether the branch is one to a function that the loader finds by name.
    fn is_linked(&self, branch: &Instruction) -> bool {
        branch.is_ip_rel_memory_operand()
            && self
                .linkage
                .behind(ElfAddr(branch.ip_rel_memory_address()))
                .is_some_and(|target| !target.name.is_empty())
    }

    fn at(&self, address: u64) -> Option<Instruction> {
        self.decode(usize::try_from(address.checked_sub(self.start)?).ok()?)
    }

    fn decode(&self, from: usize) -> Option<Instruction> {
        let code = self.code.get(from..self.code.len().min(from.checked_add(MAX_LEN)?))?;
        let address = self.start.wrapping_add(from as u64);
        let instruction = Decoder::with_ip(BITS, code, address, DecoderOptions::NONE).decode();
        (!instruction.is_invalid()).then_some(instruction)
    }
}

/// Whether the instruction takes the function's address, or compares with it.
fn has_address(instruction: &Instruction, function: u64) -> bool {
    let immediate = || {
        let last = instruction.op_count().wrapping_sub(1);
        matches!(
            instruction.op_kind(last),
            OpKind::Immediate32 | OpKind::Immediate32to64 | OpKind::Immediate64
        ) && instruction.immediate(last) == function
    };
    match instruction.mnemonic() {
        Mnemonic::Lea => {
            instruction.is_ip_rel_memory_operand()
                && instruction.ip_rel_memory_address() == function
        }
        Mnemonic::Mov | Mnemonic::Cmp | Mnemonic::Push => immediate(),
        _ => false,
    }
}
