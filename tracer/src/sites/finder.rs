//! Chooses the instruction of a function that carries its probes.
//!
//! From the function's first byte on, instructions are crossed until one comes that the kernel emulates
//! (see [`super::emulation`]). Every call must pass the site exactly once, with its arguments and its
//! stack as the caller left them, so only straight-line code is crossed, and none of it may
//! write what the probe reads. A conditional branch is never crossed: it is itself a site. For
//! glibc's `free` (`test rdi,rdi; je; push rbp`) that means the `je`: `free(NULL)` traps too, for
//! the price of one emulated instruction, but the site rests on no proof about what the taken path does.

use std::ops::Range;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, Instruction, InstructionInfoFactory,
    NasmFormatter, OpAccess, OpKind, Register,
};

use super::{emulation::is_emulated, functions::Role};
use crate::units::{ElfAddr, FileOffset};

/// How far into a function a site may lie, in bytes. Prologues are shorter, and the less is crossed,
/// the less there is for an indirect jump, which nobody sees, to land in.
const MAX_SKIP: usize = 48;
/// x86's bitness as the decoder counts it.
const BITS: u32 = 64;

/// Where a function's probes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The probed instruction, in the file.
    pub offset: FileOffset,
    /// Bytes between the function's start and the probed instruction.
    pub skip: u32,
    /// The probed instruction in NASM's syntax; for people.
    pub instruction: String,
    /// Whether the kernel emulates it: one trap per call. If not, `skip` is 0.
    pub emulated: bool,
}

/// What must still be as the caller left it when the site is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Registers that the probe reads, full width.
    pub registers: &'static [Register],
    /// Whether the return address must be at `[rsp]`: a return probe is set, or the stack is walked.
    pub return_address: bool,
}

impl Needs {
    /// What the probe of an allocation function reads.
    pub const fn of_role(role: Role) -> Self {
        Self { registers: role.registers(), return_address: true }
    }

    /// Only that the function was called.
    pub const NOTHING: Self = Self { registers: &[], return_address: false };
}

/// Chooses the site of the function whose bytes are `code`, at `address` and `start`.
///
/// `code` may be cut short. The answer then, and whenever nothing fits, is the first byte.
pub fn find_site(code: &[u8], address: ElfAddr, start: FileOffset, needs: Needs) -> Site {
    let site = |at: Range<usize>| Site {
        offset: FileOffset(start.0 + at.start as u64),
        skip: at.start as u32,
        instruction: text(code, address, at.start),
        emulated: code.get(at).is_some_and(is_emulated),
    };
    match first_emulated(code, address, needs) {
        Some(at) if at.start == 0 || !has_entry_within(code, address, at.start) => site(at),
        _ => site(0..first_len(code, address)),
    }
}

/// The first emulated instruction, unless something before it may not be crossed.
fn first_emulated(code: &[u8], address: ElfAddr, needs: Needs) -> Option<Range<usize>> {
    let mut facts = InstructionInfoFactory::new();
    let mut at = 0;
    for instruction in &mut decoder(code, address) {
        if instruction.is_invalid() || at > MAX_SKIP {
            return None;
        }
        let end = at + instruction.len();
        if is_emulated(code.get(at..end)?) {
            return Some(at..end);
        }
        if !may_cross(&instruction, needs, &mut facts) {
            return None;
        }
        at = end;
    }
    None
}

/// Whether control goes on to the next instruction, with all that the probe needs still in place.
fn may_cross(instruction: &Instruction, needs: Needs, facts: &mut InstructionInfoFactory) -> bool {
    if instruction.flow_control() != FlowControl::Next {
        return false;
    }
    facts.info(instruction).used_registers().iter().all(|used| {
        let register = used.register().full_register();
        let needed = needs.registers.contains(&register)
            || (needs.return_address && register == Register::RSP);
        !needed || matches!(used.access(), OpAccess::None | OpAccess::Read | OpAccess::CondRead)
    })
}

/// Whether a branch of the function leads past its start and no further than the instruction at `skip`:
/// then a call could pass the site twice, or reach it by a way that was not looked at.
fn has_entry_within(code: &[u8], address: ElfAddr, skip: usize) -> bool {
    let last = address.0.wrapping_add(skip as u64);
    decoder(code, address).into_iter().any(|instruction| {
        let branches = (0..instruction.op_count())
            .any(|operand| instruction.op_kind(operand) == OpKind::NearBranch64);
        let target = instruction.near_branch_target();
        branches && target > address.0 && target <= last
    })
}

fn first_len(code: &[u8], address: ElfAddr) -> usize {
    decoder(code, address).decode().len().min(code.len())
}

fn text(code: &[u8], address: ElfAddr, skip: usize) -> String {
    let rest = code.get(skip..).unwrap_or_default();
    let address = ElfAddr(address.0.wrapping_add(skip as u64));
    let mut formatter = NasmFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    options.set_show_branch_size(false);
    let mut text = String::new();
    formatter.format(&decoder(rest, address).decode(), &mut text);
    text
}

fn decoder(code: &[u8], address: ElfAddr) -> Decoder<'_> {
    Decoder::with_ip(BITS, code, address.0, DecoderOptions::NONE)
}

#[cfg(test)]
mod tests;
