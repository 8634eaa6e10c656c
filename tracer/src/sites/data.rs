//! Where an object has its variables.

use object::{
    elf::{PF_W, PT_LOAD},
    read::elf::ProgramHeader as _,
};

use super::elf::{ENDIAN, Elf};
use crate::units::ElfAddr;

/// What of an object can be written, with how many bytes each stretch has in memory. None of what is no object.
pub fn data_segments(object: &[u8]) -> Vec<(ElfAddr, u64)> {
    let Ok(elf) = Elf::parse(object) else { return Vec::new() };
    let data = elf
        .segments
        .iter()
        .filter(|segment| segment.p_type(ENDIAN) == PT_LOAD && segment.p_flags(ENDIAN) & PF_W != 0);
    data.map(|segment| (ElfAddr(segment.p_vaddr(ENDIAN)), segment.p_memsz(ENDIAN))).collect()
}
