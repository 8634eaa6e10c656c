//! The place where CPython's own allocator takes a pool (in `allocate_from_new_pool`), found by what is done there, as
//! most builds have no name for it: the allocator's `malloc` calls the function, and it writes the header of a pool.
//!
//! Once the pool is there, its count is set to 1, and it is asked whether it had the same size of blocks before, which
//! saves writing the rest of the header. That question is a conditional jump, which the kernel emulates; a
//! register has the pool. A return probe on the function costs more, and the stacks of the mappings that are made
//! in it would end there.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ops::Range,
};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::super::{elf::Elf, emulation::is_emulated, extents::Extents, symbols};
use crate::units::{ElfAddr, FileOffset};

/// x86's bitness as the decoder counts it.
const BITS: u32 = 64;
/// Fields of `struct pool_header` that are written when a pool gets a size: its class, the first block that was never used, and
/// the last that could be. The same from 3.6 to 3.13.
const HEADER_FIELDS: [u64; 3] = [36, 40, 44];
/// Bytes of each. Compilers write two at once.
const FIELD: u64 = 4;
/// The first field, blocks in use, and the class.
const COUNT: Range<u64> = 0..FIELD;
const CLASS: Range<u64> = 36..36 + FIELD;
/// Instructions from the one that sets a pool's count to the question, and from there to the one that sets its class, at most.
/// Compilers mix in others.
const MOST_BETWEEN: usize = 8;
/// Parts of a function that lie elsewhere, at most: a compiler puts aside what is seldom executed.
const MAX_PARTS: usize = 8;

/// Where to probe, and where the pool's address is then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSite {
    /// The instruction.
    pub offset: FileOffset,
    /// Number of the register with the pool's address, as x86 numbers them: `rax`, `rcx`, `rdx`, `rbx`, `rsp` …
    pub register: u32,
}

/// The place in an object whose allocator's `malloc` is the function at `malloc`. `None` unless `malloc` itself hands out blocks
/// of pools that have one, which is done for each object, and calls exactly one function that has one such place
/// and does not do that.
pub fn pool_site(object: &[u8], malloc: ElfAddr) -> Option<PoolSite> {
    let elf = Elf::parse(object).ok()?;
    let (exported, linked) = (symbols::exported(&elf), symbols::linked(&elf));
    let extents = Extents::new(&elf, exported.iter().chain(&linked));
    let code = |address: ElfAddr| {
        let extent = extents.around(address).filter(|extent| extent.start == address.0)?;
        elf.code(address, extent.end - extent.start)
    };
    if !counts_block(code(malloc)?, malloc) {
        return None;
    }
    let mut found = called(&elf, &extents, malloc)
        .into_iter()
        .filter_map(|function| Some((function, code(function)?)))
        .filter(|&(function, code)| !counts_block(code, function))
        .flat_map(|(function, code)| questions(code, function));
    let (at, register) = found.next()?;
    let offset = elf.code_offset(ElfAddr(at))?;
    let register = u32::try_from(register.number()).ok()?;
    found.next().is_none().then_some(PoolSite { offset, register })
}

/// What the function calls by its address.
fn called(elf: &Elf<'_>, extents: &Extents<'_>, function: ElfAddr) -> BTreeSet<ElfAddr> {
    let mut called = BTreeSet::new();
    let (mut parts, mut seen) = (vec![function], HashSet::new());
    while let Some(part) = parts.pop() {
        let Some(extent) = extents.around(part).filter(|_| seen.len() < MAX_PARTS) else {
            continue;
        };
        if !seen.insert(extent.start) {
            continue;
        }
        let start = ElfAddr(extent.start);
        let Some(code) = elf.code(start, extent.end - extent.start) else { continue };
        for instruction in &mut decoder(code, start) {
            let target = ElfAddr(instruction.near_branch_target());
            match instruction.flow_control() {
                FlowControl::Call => drop(called.insert(target)),
                FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
                    if !extent.contains(&target.0) =>
                {
                    // Either another part of it, or a function that it ends with.
                    called.insert(target);
                    parts.push(target);
                }
                _ => {}
            }
        }
    }
    called
}

/// The conditional jumps that ask whether a pool's header is to be written, and the register that has the pool.
fn questions(code: &[u8], function: ElfAddr) -> Vec<(u64, Register)> {
    let instructions: Vec<_> = decoder(code, function).into_iter().collect();
    let mut written: HashMap<Register, HashSet<u64>> = HashMap::new();
    for (base, bytes) in instructions.iter().filter_map(write) {
        let fields = HEADER_FIELDS.iter().filter(|&&field| bytes.contains(&field));
        written.entry(base).or_default().extend(fields);
    }
    let is_question = |at: usize| {
        let jump = instructions.get(at)?;
        let (pool, _) = instructions[at + 1..]
            .iter()
            .take(MOST_BETWEEN)
            .take_while(|instruction| instruction.flow_control() == FlowControl::Next)
            .filter_map(write)
            .find(|(_, bytes)| *bytes == CLASS)?;
        let before = &instructions[at.saturating_sub(MOST_BETWEEN)..at];
        let sets_count = |instruction: &&Instruction| {
            write(instruction) == Some((pool, COUNT))
                && instruction.try_immediate(1).is_ok_and(|value| value == 1)
        };
        let mut straight =
            before.iter().rev().take_while(|it| it.flow_control() == FlowControl::Next);
        let from = usize::try_from(jump.ip().checked_sub(function.0)?).ok()?;
        let is_one = jump.flow_control() == FlowControl::ConditionalBranch
            && is_emulated(code.get(from..from + jump.len())?)
            && written.get(&pool)?.len() == HEADER_FIELDS.len()
            && straight.any(|instruction| sets_count(&instruction));
        is_one.then(|| (jump.ip(), pool))
    };
    (0..instructions.len()).filter_map(is_question).collect()
}

/// Whether there is an instruction that counts one more block in use: that is a header's first field.
fn counts_block(code: &[u8], address: ElfAddr) -> bool {
    decoder(code, address).into_iter().any(|instruction| {
        let adds_one = match instruction.mnemonic() {
            Mnemonic::Inc => true,
            Mnemonic::Add => instruction.try_immediate(1).is_ok_and(|value| value == 1),
            _ => false,
        };
        adds_one
            && instruction.op0_kind() == OpKind::Memory
            && instruction.memory_size().size() as u64 == FIELD
            && instruction.memory_displacement64() == 0
            && instruction.memory_index() == Register::None
    })
}

/// The base register, and where from there the instruction writes one field or two.
fn write(instruction: &Instruction) -> Option<(Register, Range<u64>)> {
    let at = instruction.memory_displacement64();
    let bytes = instruction.memory_size().size() as u64;
    let writes = instruction.op_count() == 2
        && instruction.op0_kind() == OpKind::Memory
        && matches!(instruction.mnemonic(), Mnemonic::Mov | Mnemonic::Movq)
        && (bytes == FIELD || bytes == 2 * FIELD)
        && instruction.memory_index() == Register::None;
    writes.then(|| (instruction.memory_base(), at..at.saturating_add(bytes)))
}

fn decoder(code: &[u8], address: ElfAddr) -> Decoder<'_> {
    Decoder::with_ip(BITS, code, address.0, DecoderOptions::NONE)
}
