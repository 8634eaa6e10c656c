//! What registers hold along a straight line of code, as far as it comes from known addresses.

use std::collections::HashMap;

use iced_x86::{
    FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

use crate::units::ElfAddr;

/// Where a word of the target's memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TablePlace {
    /// In the object itself.
    At(ElfAddr),
    /// So many bytes after the address that a slot of the object holds.
    Behind {
        /// The slot, in the global offset table.
        slot: ElfAddr,
        /// Bytes.
        offset: u64,
    },
}

impl TablePlace {
    /// The place so many bytes on.
    #[must_use]
    pub fn plus(self, bytes: u64) -> Self {
        match self {
            Self::At(ElfAddr(address)) => Self::At(ElfAddr(address.wrapping_add(bytes))),
            Self::Behind { slot, offset } => {
                Self::Behind { slot, offset: offset.wrapping_add(bytes) }
            }
        }
    }
}

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// This address, by the object's headers.
    Address(u64),
    /// The word that is there.
    Word(TablePlace),
}

/// The registers of which something is known.
pub(super) struct Registers {
    known: HashMap<Register, Value>,
    facts: InstructionInfoFactory,
}

/// What a called function may change.
const CLOBBERED: [Register; 9] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];

/// Whether a called function may change it.
pub(super) fn is_clobbered(register: Register) -> bool {
    CLOBBERED.contains(&register)
}

impl Registers {
    /// None.
    pub(super) fn new() -> Self {
        Self { known: HashMap::new(), facts: InstructionInfoFactory::new() }
    }

    /// What a register holds; `None` for anything else than is known.
    pub(super) fn value(&self, register: Register) -> Option<Value> {
        self.known.get(&register.full_register()).copied()
    }

    /// Executes an instruction, as far as it matters here.
    pub(super) fn step(&mut self, instruction: &Instruction) {
        let result = self.result(instruction);
        let used = self.facts.info(instruction).used_registers();
        for register in used.iter().filter(|used| writes(used.access())) {
            self.known.remove(&register.register().full_register());
        }
        if matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall) {
            self.known.retain(|register, _| !is_clobbered(*register));
        }
        if let Some(value) = result {
            self.known.insert(instruction.op0_register().full_register(), value);
        }
    }

    /// What an operand is, before the instruction is executed.
    pub(super) fn operand(&self, instruction: &Instruction, operand: u32) -> Option<Value> {
        match instruction.op_kind(operand) {
            OpKind::Register => self.value(instruction.op_register(operand)),
            OpKind::Memory => self.place(instruction).map(Value::Word),
            OpKind::Immediate32to64 | OpKind::Immediate32 | OpKind::Immediate64 => {
                Some(Value::Address(instruction.immediate(operand)))
            }
            _ => None,
        }
    }

    fn result(&self, instruction: &Instruction) -> Option<Value> {
        if instruction.op_count() != 2 || instruction.op0_kind() != OpKind::Register {
            return None;
        }
        match instruction.mnemonic() {
            Mnemonic::Mov => self.operand(instruction, 1),
            Mnemonic::Lea => match self.place(instruction)? {
                TablePlace::At(ElfAddr(address)) => Some(Value::Address(address)),
                TablePlace::Behind { .. } => None,
            },
            _ => None,
        }
    }

    /// Where the memory is that an instruction refers to.
    fn place(&self, instruction: &Instruction) -> Option<TablePlace> {
        let displacement = instruction.memory_displacement64();
        if instruction.memory_index() != Register::None
            || instruction.segment_prefix() != Register::None
        {
            return None;
        }
        match instruction.memory_base() {
            // With `rip` as the base the decoder has added that already.
            Register::None | Register::RIP => Some(TablePlace::At(ElfAddr(displacement))),
            base => match self.value(base)? {
                Value::Address(address) => {
                    Some(TablePlace::At(ElfAddr(address.wrapping_add(displacement))))
                }
                Value::Word(TablePlace::At(slot)) => {
                    Some(TablePlace::Behind { slot, offset: displacement })
                }
                Value::Word(TablePlace::Behind { .. }) => None,
            },
        }
    }
}

pub(super) fn writes(access: OpAccess) -> bool {
    !matches!(access, OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
}
