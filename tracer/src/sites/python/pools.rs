//! The function by which CPython's own allocator takes a pool (`allocate_from_new_pool`), found by what it does, as
//! most builds have no name for it: the allocator's `malloc` calls it, and it writes the header of a pool.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ops::Range,
};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::super::{
    elf::Elf,
    extents::Extents,
    flow::{Landmarks, follow},
    linkage::Linkage,
    symbols,
};
use crate::units::{ElfAddr, FileOffset};

/// x86's bitness as the decoder counts it.
const BITS: u32 = 64;
/// Fields of `struct pool_header` that are written when a pool gets a size: its class, the first block that was never used, and
/// the last that could be. The same from 3.6 to 3.13.
const HEADER_FIELDS: [u64; 3] = [36, 40, 44];
/// Bytes of each. Compilers write two at once.
const FIELD: u64 = 4;
/// Parts of a function that lie elsewhere, at most: a compiler puts aside what is seldom executed.
const MAX_PARTS: usize = 8;

/// The `ret` instructions by which it ends, in an object whose allocator's `malloc` is the function at `malloc`. `None` where no
/// function that this calls does that work, or several do; where that work is not apart from handing out a block of a
/// pool that has one, which is done for each object; and where other functions end there, too.
///
/// A return probe would do as well, but for the mappings that are made on the way: their stacks would end at the kernel's trampoline.
pub fn pool_exits(object: &[u8], malloc: ElfAddr) -> Option<Vec<FileOffset>> {
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
        .filter(|&(function, code)| writes_header(code, function) && !counts_block(code, function));
    let (function, _) = found.next()?;
    if found.next().is_some() {
        return None;
    }
    let extent = extents.around(function)?;
    let landmarks = Landmarks { starts: &HashSet::new(), is_name: |_| false, skip_null: false };
    let flow = follow(&elf, &Linkage::new(&elf), &extents, function, &landmarks);
    let is_own = |exit: &ElfAddr| extent.contains(&exit.0);
    if flow.open || flow.exits.is_empty() || !flow.exits.iter().all(is_own) {
        return None;
    }
    flow.exits.into_iter().map(|exit| elf.code_offset(exit)).collect()
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

/// Whether there is a register through which all of the header's fields are written.
fn writes_header(code: &[u8], address: ElfAddr) -> bool {
    let mut written: HashMap<Register, HashSet<u64>> = HashMap::new();
    for instruction in &mut decoder(code, address) {
        if let Some((base, bytes)) = write(&instruction) {
            let fields = HEADER_FIELDS.iter().filter(|&&field| bytes.contains(&field));
            written.entry(base).or_default().extend(fields);
        }
    }
    written.values().any(|fields| fields.len() == HEADER_FIELDS.len())
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
