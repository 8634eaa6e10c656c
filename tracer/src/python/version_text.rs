//! The version of an interpreter that exports no number (before 3.11): what `Py_GetVersion` puts together.

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};

use super::Version;
use crate::{
    sites::{elf::Elf, symbols::Symbol},
    units::ElfAddr,
};

/// Longer than any version.
const MAX_TEXT: usize = 32;

/// The version among the texts that `Py_GetVersion` names. Its others are a format and a place for the whole.
pub(super) fn find(elf: &Elf<'_>, says_version: &Symbol<'_>) -> Option<Version> {
    let code = elf.code(says_version.address, says_version.size)?;
    Decoder::with_ip(64, code, says_version.address.0, DecoderOptions::NONE)
        .into_iter()
        .filter_map(|instruction| named(&instruction))
        .find_map(|address| Version::from_text(text(elf, address)?))
}

/// The address that an instruction takes.
fn named(instruction: &Instruction) -> Option<ElfAddr> {
    match instruction.mnemonic() {
        Mnemonic::Lea if instruction.is_ip_rel_memory_operand() => {
            Some(ElfAddr(instruction.ip_rel_memory_address()))
        }
        Mnemonic::Mov if instruction.op1_kind() == OpKind::Immediate32 => {
            Some(ElfAddr(u64::from(instruction.immediate32())))
        }
        _ => None,
    }
}

fn text<'data>(elf: &Elf<'data>, address: ElfAddr) -> Option<&'data str> {
    let bytes = elf.bytes_from(address)?;
    let end = bytes.iter().take(MAX_TEXT).position(|byte| *byte == 0)?;
    std::str::from_utf8(&bytes[..end]).ok()
}
