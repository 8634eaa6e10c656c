//! The functions that stand in a table, as places to probe.

use super::super::{
    allocator::FunctionSites,
    elf::Elf,
    extents::Extents,
    finder::{Needs, find_site},
    functions::Role,
    symbols,
};
use crate::units::ElfAddr;

/// The function at an address that a running interpreter was seen to call; `None` where the object has no function
/// that begins there.
pub fn target_function(object: &[u8], address: ElfAddr, role: Role) -> Option<FunctionSites> {
    let elf = Elf::parse(object).ok()?;
    let (exported, linked) = (symbols::exported(&elf), symbols::linked(&elf));
    let all = || exported.iter().chain(&linked);
    let extent = Extents::new(&elf, all()).around(address)?;
    if extent.start != address.0 {
        return None;
    }
    let start = elf.code_offset(address)?;
    let code = elf.code(address, extent.end - extent.start)?;
    let name = all().find(|symbol| symbol.address == address).map(|symbol| symbol.name.to_owned());
    Some(FunctionSites {
        address,
        name: name.unwrap_or_else(|| format!("Python's allocator at {address:#x}")),
        aliases: Vec::new(),
        role,
        site: find_site(code, address, start, Needs::of_role(role)),
    })
}
