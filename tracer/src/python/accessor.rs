//! What a small function does, by its code: where the variable is that it returns, or passes on.
//!
//! Members of `_PyRuntime` lie elsewhere in each maintenance release, and those of glibc's threads in each version. But
//! there are exported functions that only fetch one of them, so their code says where it is. Followed is a way
//! through it up to the first call, jump out of it, or return.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory,
    InstructionInfoOptions, MemorySize, Mnemonic, OpAccess, OpKind, Register,
};

/// Instructions of a function that are decoded, and of them those on one way, at most.
const MAX_DECODED: usize = 200;
const MAX_INSTRUCTIONS: usize = 60;
/// Branches that are tried, at most.
const MAX_BRANCHES: usize = 4;
/// Where a thread's control block holds its own address, on x86-64 (`%fs:0` by the ABI, `%fs:0x10` for glibc and musl).
const SELF: [u64; 2] = [0, 0x10];

/// A sum, modulo 2⁶⁴.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Sum {
    /// How many times the function's first argument.
    pub(super) argument: u64,
    /// How many times the thread pointer.
    pub(super) thread: u64,
    pub(super) constant: u64,
}

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Unknown,
    Sum(Sum),
    /// The word of so many bytes at this address.
    At(Sum, usize),
}

/// What is known when the way ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Whether it ended with a return; else with a jump or a call.
    pub(super) returns: bool,
    /// `rax`: what is returned.
    pub(super) result: Value,
    /// `rdi`: what is passed on.
    pub(super) argument: Value,
}

/// The ways through the function whose code is given and begins at `address`: first that on which no branch is taken, then
/// those on which one is, which the compiler may have preferred. Words at constant addresses, such as those of the global
/// offset table, are asked of `read` when something is looked up through them.
///
/// Ways that lead nowhere are left out.
pub(super) fn follow(
    code: &[u8],
    address: u64,
    read: &mut dyn FnMut(u64) -> Option<u64>,
) -> Vec<Outcome> {
    let decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let code: Vec<_> = decoder.into_iter().take(MAX_DECODED).collect();
    let branches = code.iter().filter(|it| it.flow_control() == FlowControl::ConditionalBranch);
    let taken = branches.map(|branch| Some(branch.ip())).take(MAX_BRANCHES);
    [None].into_iter().chain(taken).filter_map(|taken| way(&code, taken, read)).collect()
}

/// The way on which no branch but the one at `taken` is.
fn way(
    code: &[Instruction],
    taken: Option<u64>,
    read: &mut dyn FnMut(u64) -> Option<u64>,
) -> Option<Outcome> {
    let mut state = State { registers: [Value::Unknown; 16], read };
    state.set(Register::RDI, Value::Sum(Sum { argument: 1, ..Sum::default() }));
    let mut info = InstructionInfoFactory::new();
    let mut next = 0;
    for _ in 0..MAX_INSTRUCTIONS {
        let instruction = code.get(next).filter(|it| !it.is_invalid())?;
        let target = || code.iter().position(|it| it.ip() == instruction.near_branch_target());
        next += 1;
        match instruction.flow_control() {
            FlowControl::Next => state.step(instruction, &mut info),
            FlowControl::ConditionalBranch if taken != Some(instruction.ip()) => {}
            FlowControl::ConditionalBranch => next = target()?,
            FlowControl::Return => return Some(state.outcome(true)),
            FlowControl::UnconditionalBranch if target().is_some() => next = target()?,
            _ => return Some(state.outcome(false)),
        }
    }
    None
}

struct State<'a> {
    registers: [Value; 16],
    read: &'a mut dyn FnMut(u64) -> Option<u64>,
}

impl State<'_> {
    fn outcome(&self, returns: bool) -> Outcome {
        let (result, argument) = (self.get(Register::RAX), self.get(Register::RDI));
        Outcome { returns, result, argument }
    }

    fn step(&mut self, instruction: &Instruction, info: &mut InstructionInfoFactory) {
        let target = instruction.op0_register();
        let value = self.result_of(instruction);
        let info = info.info_options(instruction, InstructionInfoOptions::NO_MEMORY_USAGE);
        for used in info.used_registers() {
            if !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
            {
                self.set(used.register(), Value::Unknown);
            }
        }
        // What sets 32 bits clears the others; fewer leave something unknown.
        if instruction.op0_kind() == OpKind::Register
            && (target.is_gpr64() || target.is_gpr32())
            && let Some(value) = value
        {
            self.set(target, value);
        }
    }

    /// What the instruction's first operand then holds; `None` where it isn't set, or to nothing that is known.
    fn result_of(&mut self, instruction: &Instruction) -> Option<Value> {
        let old = self.get(instruction.op0_register());
        match instruction.mnemonic() {
            Mnemonic::Mov => Some(self.source(instruction)),
            Mnemonic::Lea => Some(self.address(instruction).map_or(Value::Unknown, Value::Sum)),
            Mnemonic::Add => match (old, self.source(instruction)) {
                (Value::Sum(a), Value::Sum(b)) => Some(Value::Sum(a.plus(b))),
                _ => None,
            },
            Mnemonic::Shl => match (old, self.source(instruction)) {
                (Value::Sum(a), Value::Sum(Sum { argument: 0, thread: 0, constant }))
                    if constant < 64 =>
                {
                    Some(Value::Sum(a.times(1 << constant)))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The second operand.
    fn source(&mut self, instruction: &Instruction) -> Value {
        match instruction.op1_kind() {
            OpKind::Register => self.get(instruction.op1_register()),
            OpKind::Memory => {
                let Some(address) = self.address(instruction) else { return Value::Unknown };
                if instruction.segment_prefix() == Register::FS {
                    let own = address == Sum::of(address.constant);
                    return if own && SELF.contains(&address.constant) {
                        Value::Sum(Sum { thread: 1, ..Sum::default() })
                    } else {
                        Value::At(Sum { thread: address.thread + 1, ..address }, 8)
                    };
                }
                match instruction.memory_size() {
                    MemorySize::UInt32 | MemorySize::Int32 => Value::At(address, 4),
                    MemorySize::UInt64 | MemorySize::Int64 => Value::At(address, 8),
                    _ => Value::Unknown,
                }
            }
            _ => instruction.try_immediate(1).map_or(Value::Unknown, |it| Value::Sum(Sum::of(it))),
        }
    }

    /// The address of the operand in memory, without its segment.
    fn address(&mut self, instruction: &Instruction) -> Option<Sum> {
        if instruction.is_ip_rel_memory_operand() {
            return Some(Sum::of(instruction.ip_rel_memory_address()));
        }
        let mut sum = Sum::of(instruction.memory_displacement64());
        if instruction.memory_base() != Register::None {
            sum = sum.plus(self.sum_in(instruction.memory_base())?);
        }
        if instruction.memory_index() != Register::None {
            let index = self.sum_in(instruction.memory_index())?;
            sum = sum.plus(index.times(u64::from(instruction.memory_index_scale())));
        }
        Some(sum)
    }

    /// What a register holds, looked up in memory where it must be.
    fn sum_in(&mut self, register: Register) -> Option<Sum> {
        match self.get(register) {
            Value::Sum(sum) => Some(sum),
            Value::At(place, 8) if place == Sum::of(place.constant) => {
                (self.read)(place.constant).map(Sum::of)
            }
            Value::At(..) | Value::Unknown => None,
        }
    }

    fn get(&self, register: Register) -> Value {
        index(register).map_or(Value::Unknown, |at| self.registers[at])
    }

    fn set(&mut self, register: Register, value: Value) {
        if let Some(at) = index(register) {
            self.registers[at] = value;
        }
    }
}

impl Sum {
    pub(super) fn of(constant: u64) -> Self {
        Self { constant, ..Self::default() }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            argument: self.argument.wrapping_add(other.argument),
            thread: self.thread.wrapping_add(other.thread),
            constant: self.constant.wrapping_add(other.constant),
        }
    }

    fn times(self, factor: u64) -> Self {
        Self {
            argument: self.argument.wrapping_mul(factor),
            thread: self.thread.wrapping_mul(factor),
            constant: self.constant.wrapping_mul(factor),
        }
    }
}

fn index(register: Register) -> Option<usize> {
    let full = register.full_register();
    full.is_gpr64().then(|| full.number())
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Sum, Value, follow};

    #[test]
    fn a_member_behind_the_global_offset_table() {
        // mov rax,[rip+0x100]; mov rax,[rax+0x28]; ret
        let code = [0x48, 0x8b, 0x05, 0, 1, 0, 0, 0x48, 0x8b, 0x40, 0x28, 0xc3];
        let mut read = |address| (address == 0x1107).then_some(0x5000);
        let result = Value::At(Sum::of(0x5028), 8);
        let argument = Value::Sum(Sum { argument: 1, ..Sum::default() });
        let outcome = Outcome { returns: true, result, argument };
        assert_eq!(follow(&code, 0x1000, &mut read), [outcome]);
        let outcome = Outcome { result: Value::Unknown, ..outcome };
        assert_eq!(follow(&code, 0x1000, &mut |_| None), [outcome]);
    }

    #[test]
    fn a_key_that_is_passed_on() {
        // mov rax,[rip+0x100]; push rbx; lea rbx,[rax+0x608]; mov rdi,rbx; call …
        let code = [
            0x48, 0x8b, 0x05, 0, 1, 0, 0, 0x53, 0x48, 0x8d, 0x98, 8, 6, 0, 0, 0x48, 0x89, 0xdf,
            0xe8, 0, 0, 0, 0,
        ];
        let outcomes = follow(&code, 0x1000, &mut |_| Some(0x5000));
        assert_eq!(outcomes.len(), 1);
        assert!(!outcomes[0].returns);
        assert_eq!(outcomes[0].argument, Value::Sum(Sum::of(0x5608)));
    }

    #[test]
    fn what_lies_behind_a_branch() {
        // jne +3; xor eax,eax; ret; mov edi,[rip+0x100]; jmp far away
        let code = [0x75, 3, 0x31, 0xc0, 0xc3, 0x8b, 0x3d, 0, 1, 0, 0, 0xe9, 0, 0, 1, 0];
        let outcomes = follow(&code, 0x1000, &mut |_| None);
        let found: Vec<_> = outcomes.iter().map(|it| (it.returns, it.argument)).collect();
        let argument = Value::Sum(Sum { argument: 1, ..Sum::default() });
        assert_eq!(found, [(true, argument), (false, Value::At(Sum::of(0x110b), 4))]);
    }

    #[test]
    fn a_register_that_something_else_was_done_to_is_not_known() {
        // lea rax,[rip+0x100]; imul rax,rax,3; ret
        let code = [0x48, 0x8d, 0x05, 0, 1, 0, 0, 0x48, 0x6b, 0xc0, 3, 0xc3];
        assert_eq!(follow(&code, 0x1000, &mut |_| None)[0].result, Value::Unknown);
    }

    #[test]
    fn code_that_ends_nowhere_is_not_understood() {
        assert_eq!(follow(&[0x90; 100], 0x1000, &mut |_| None), []);
        assert_eq!(follow(&[0x06], 0x1000, &mut |_| None), [], "no instruction");
        assert_eq!(follow(&[0xeb, 0xfe], 0x1000, &mut |_| None), [], "a loop");
    }
}
