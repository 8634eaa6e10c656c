//! Allocation shims: small library functions that call `malloc` on behalf of their caller.
//!
//! Stacks are walked by frame pointers. `operator new`, `strdup` and the like are compiled without, so the
//! walk would leap from `malloc` over the one frame that matters, the shim's direct caller. For each
//! return address within a shim the kernel side gets the size of the shim's frame instead, and with
//! it finds the caller's return address, which it puts before the frames of the walk.

use iced_x86::{Decoder, DecoderOptions, FlowControl};
use tracer_common::{ShimStep, limits::MAX_SHIMS};

use super::rows::Rows;
use crate::{
    sites::{
        elf::Elf,
        symbols::{self, Symbol},
    },
    units::ElfAddr,
};

/// C functions that hand out a copy on the heap. `__` names are what headers made of them.
const COPIES: [&str; 5] = ["strdup", "strndup", "wcsdup", "__strdup", "__strndup"];
/// `operator new` and `operator new[]` of every signature, as the Itanium C++ ABI mangles them.
const OPERATORS: [&str; 2] = ["_Znw", "_Zna"];
/// x86's bitness as the decoder counts it.
const BITS: u32 = 64;

/// The return addresses within the shims that the object defines, in order, each with the step to the
/// shim's caller; [`MAX_SHIMS`] at most.
///
/// A call whose frame hangs on another register than `rsp` can't be described by a [`ShimStep`] and is left
/// out. One made while `rbp` is saved ends the walk after the shim's caller: that frame is right, and those
/// beyond it would not be.
/// What is no x86-64 ELF object, or has no `.eh_frame`, gives none.
pub fn shim_steps(object: &[u8]) -> Vec<(ElfAddr, ShimStep)> {
    let Ok(elf) = Elf::parse(object) else { return Vec::new() };
    let Some(mut rows) = Rows::new(&elf) else { return Vec::new() };
    let mut shims = symbols::exported(&elf);
    shims.extend(symbols::linked(&elf));
    shims.retain(|symbol| is_shim(symbol.name) && !symbol.resolver);

    let mut steps: Vec<(ElfAddr, ShimStep)> = shims
        .iter()
        .flat_map(|shim| calls(&elf, shim))
        .filter_map(|call| Some((call.returns_to, rows.step(call.address)?)))
        .collect();
    steps.sort_by_key(|(returns_to, _)| *returns_to);
    steps.dedup_by_key(|(returns_to, _)| *returns_to);
    steps.truncate(MAX_SHIMS as usize);
    steps
}

fn is_shim(name: &str) -> bool {
    COPIES.contains(&name) || OPERATORS.iter().any(|operator| name.starts_with(operator))
}

struct Call {
    address: ElfAddr,
    returns_to: ElfAddr,
}

/// The calls in the shim's code. A tail jump leaves no frame, so it needs no step.
fn calls(elf: &Elf<'_>, shim: &Symbol<'_>) -> Vec<Call> {
    // Without a size the code of other functions might be taken for the shim's.
    let code = if shim.size == 0 { None } else { elf.code(shim.address, shim.size) };
    let Some(code) = code else { return Vec::new() };
    Decoder::with_ip(BITS, code, shim.address.0, DecoderOptions::NONE)
        .into_iter()
        .filter(|instruction| {
            matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall)
        })
        .map(|call| Call { address: ElfAddr(call.ip()), returns_to: ElfAddr(call.next_ip()) })
        .collect()
}

#[cfg(test)]
mod tests;
