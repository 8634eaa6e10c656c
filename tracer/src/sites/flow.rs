//! Where a function's control flow leads: the `ret` instructions that end it, and whether it gets there
//! without one of the functions that are probed anyway.
//!
//! Jumps are followed into other functions (slow paths, cold parts), calls are not. Only code within a
//! known function is decoded, from addresses that control reaches, so every exit is an instruction.

use std::collections::{BTreeSet, HashSet};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::{elf::Elf, extents::Extents, linkage::Linkage};
use crate::units::ElfAddr;

/// Instructions that are looked at, at most. tcmalloc's longest operator has about 500.
const MAX_INSTRUCTIONS: usize = 20_000;
/// The longest instruction, in bytes.
const MAX_LEN: u64 = 15;
/// x86's bitness as the decoder counts it.
const BITS: u32 = 64;

/// C functions that never return. What follows a call of one is not reached.
const NO_RETURN: [&str; 12] = [
    "abort",
    "exit",
    "_exit",
    "__assert_fail",
    "__stack_chk_fail",
    "__fortify_fail",
    "__chk_fail",
    "_Unwind_Resume",
    "__cxa_throw",
    "__cxa_rethrow",
    "__cxa_throw_bad_array_new_length",
    "__cxa_call_unexpected",
];

/// What is known of a function's ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    /// The `ret` instructions that are reached without passing a landmark.
    pub(super) exits: BTreeSet<ElfAddr>,
    /// Whether some way leads through a landmark, by call or by jump.
    pub(super) passes: bool,
    /// Whether some way could not be followed to its end.
    pub(super) open: bool,
}

/// A function that ends a way because it is probed itself: by its start or, where the way leads
/// through the procedure linkage table, by name.
pub(super) struct Landmarks<'a> {
    pub(super) starts: &'a HashSet<ElfAddr>,
    pub(super) is_name: fn(&str) -> bool,
    /// Whether ways that are only taken with a null first argument are to be left out.
    pub(super) skip_null: bool,
}

/// Follows the function at `start`.
pub(super) fn follow(
    elf: &Elf<'_>,
    linkage: &Linkage<'_>,
    extents: &Extents<'_>,
    start: ElfAddr,
    landmarks: &Landmarks<'_>,
) -> Flow {
    let mut walk = Walk {
        elf,
        linkage,
        extents,
        landmarks,
        flow: Flow::default(),
        seen: HashSet::new(),
        todo: Vec::new(),
    };
    walk.todo.push(start.0);
    while let Some(address) = walk.todo.pop() {
        walk.straight_on(address);
    }
    walk.flow
}

struct Walk<'a, 'data> {
    elf: &'a Elf<'data>,
    linkage: &'a Linkage<'data>,
    extents: &'a Extents<'data>,
    landmarks: &'a Landmarks<'a>,
    flow: Flow,
    seen: HashSet<u64>,
    todo: Vec<u64>,
}

/// Where a branch or a call leads.
#[derive(Clone, Copy)]
enum Landing {
    Code(u64),
    Landmark,
    Nowhere,
    /// To another object, or by a register.
    Unknown,
}

impl Walk<'_, '_> {
    /// From `address` to where the straight line ends.
    fn straight_on(&mut self, address: u64) {
        let end = self.extents.around(ElfAddr(address)).map_or(address, |extent| extent.end);
        let code = end.checked_sub(address).filter(|&left| left > 0);
        let code = code.and_then(|left| self.elf.code(ElfAddr(address), left)).unwrap_or_default();
        let mut decoder = Decoder::with_ip(BITS, code, address, DecoderOptions::NONE);
        let mut tested = false;
        while decoder.can_decode() {
            let instruction = decoder.decode();
            if instruction.is_invalid() || self.seen.len() >= MAX_INSTRUCTIONS {
                break;
            }
            if !self.seen.insert(instruction.ip()) || !self.step(&instruction, tested) {
                return;
            }
            tested = is_null_test(&instruction);
        }
        // At the function's end control does not go on: the last call was of something that never returns.
        self.flow.open |= decoder.ip() != end || code.is_empty();
    }

    /// Whether control goes on to the next instruction.
    fn step(&mut self, instruction: &Instruction, null_tested: bool) -> bool {
        match instruction.flow_control() {
            FlowControl::Next => true,
            FlowControl::Return => {
                self.flow.exits.insert(ElfAddr(instruction.ip()));
                false
            }
            FlowControl::ConditionalBranch => {
                let null_only = null_tested && self.landmarks.skip_null;
                let mnemonic = instruction.mnemonic();
                if !(null_only && mnemonic == Mnemonic::Je) {
                    self.jump(self.landing(instruction));
                }
                !(null_only && mnemonic == Mnemonic::Jne)
            }
            FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => {
                self.jump(self.landing(instruction));
                false
            }
            FlowControl::Call | FlowControl::IndirectCall => match self.landing(instruction) {
                Landing::Landmark => {
                    self.flow.passes = true;
                    false
                }
                Landing::Nowhere => false,
                Landing::Code(_) | Landing::Unknown => true,
            },
            FlowControl::Interrupt | FlowControl::Exception | FlowControl::XbeginXabortXend => {
                false
            }
        }
    }

    fn jump(&mut self, landing: Landing) {
        match landing {
            Landing::Code(target) => self.todo.push(target),
            Landing::Landmark => self.flow.passes = true,
            Landing::Nowhere => {}
            Landing::Unknown => self.flow.open = true,
        }
    }

    fn landing(&self, instruction: &Instruction) -> Landing {
        if instruction.op_count() == 1 && instruction.op0_kind() == OpKind::NearBranch64 {
            return self.at(instruction.near_branch_target());
        }
        match slot_of(instruction) {
            Some(slot) => self.through(slot),
            None => Landing::Unknown,
        }
    }

    fn at(&self, target: u64) -> Landing {
        if self.landmarks.starts.contains(&ElfAddr(target)) {
            return Landing::Landmark;
        }
        // A stub of the procedure linkage table, perhaps behind an `endbr64`.
        let code = self.elf.code(ElfAddr(target), 2 * MAX_LEN).unwrap_or_default();
        let mut stub = Decoder::with_ip(BITS, code, target, DecoderOptions::NONE)
            .into_iter()
            .skip_while(|instruction| instruction.mnemonic() == Mnemonic::Endbr64);
        match stub.next().as_ref().filter(|jump| jump.mnemonic() == Mnemonic::Jmp).and_then(slot_of)
        {
            Some(slot) if self.linkage.is_slot(slot) => self.through(slot),
            _ => Landing::Code(target),
        }
    }

    /// Through a slot of the global offset table.
    fn through(&self, slot: ElfAddr) -> Landing {
        match self.linkage.behind(slot) {
            Some(symbol) if (self.landmarks.is_name)(symbol.name) => Landing::Landmark,
            Some(symbol) if never_returns(symbol.name) => Landing::Nowhere,
            Some(symbol) => match symbol.address {
                Some(address) if self.landmarks.starts.contains(&address) => Landing::Landmark,
                Some(address) => Landing::Code(address.0),
                None => Landing::Unknown,
            },
            None => Landing::Unknown,
        }
    }
}

/// Whether the function ends by throwing or ends the program.
fn never_returns(name: &str) -> bool {
    NO_RETURN.contains(&name)
        // std::__throw_bad_alloc() and its like, std::terminate(), __gnu_cxx::__verbose_terminate_handler()
        || name.contains("__throw_")
        || name == "_ZSt9terminatev"
        || name == "__clang_call_terminate"
}

/// The slot that an indirect branch reads its target from, if that is at a fixed place.
fn slot_of(instruction: &Instruction) -> Option<ElfAddr> {
    (instruction.op_count() == 1 && instruction.is_ip_rel_memory_operand())
        .then(|| ElfAddr(instruction.ip_rel_memory_address()))
}

/// `test rdi, rdi`: only the first few instructions of a function have its argument there, but what looks
/// like this later on is a null test of something else that is freed.
fn is_null_test(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Test
        && instruction.op0_register() == Register::RDI
        && instruction.op1_register() == Register::RDI
}
