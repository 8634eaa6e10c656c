//! Which `operator new`, `operator delete` and other wrappers need probes of their own.
//!
//! Most get their blocks from `malloc` or hand them to `free`, where they are counted. jemalloc, tcmalloc
//! and mimalloc have operators that never pass there, so that the probes of C functions alone would see
//! hardly anything of a C++ program.

use std::collections::HashSet;

use super::{
    allocator::{Allocator, FunctionSites, Note},
    elf::Elf,
    extents::Extents,
    flow::{Flow, Landmarks, follow},
    functions::{Role, role_of},
    linkage::Linkage,
};
use crate::units::ElfAddr;

/// Takes out the functions whose work is counted elsewhere, and finds the ends of the operators that stay.
pub(super) fn settle(elf: &Elf<'_>, extents: &Extents<'_>, allocator: &mut Allocator) {
    let linkage = Linkage::new(elf);
    let (freeing, allocating): (Vec<_>, Vec<_>) =
        allocator.functions.iter().partition(|function| function.role.frees());
    let starts = |functions: &[&FunctionSites]| functions.iter().map(|f| f.address).collect();
    let (freeing, allocating): (HashSet<_>, HashSet<_>) = (starts(&freeing), starts(&allocating));
    let flow_of = |start: ElfAddr, others: &HashSet<ElfAddr>, frees: bool| {
        let mut others = others.clone();
        others.remove(&start);
        let is_name = if frees { frees_by_name } else { allocates_by_name };
        follow(
            elf,
            &linkage,
            extents,
            start,
            &Landmarks { starts: &others, is_name, skip_null: frees },
        )
    };
    let Allocator { functions, exits, notes } = allocator;
    functions.retain(|function| match function.role {
        Role::Free => {
            // One that may lead to another one that is probed stays: the kernel side counts the block once.
            let flow = flow_of(function.address, &freeing, true);
            !flow.passes || ends_here(&flow)
        }
        Role::OperatorNew => {
            let flow = flow_of(function.address, &allocating, false);
            if flow.open {
                notes.push(Note::OpenEnd { name: function.name.clone() });
            }
            exits.extend(flow.exits.iter().filter_map(|&exit| elf.code_offset(exit)));
            !flow.exits.is_empty()
        }
        _ => true,
    });
    notes.sort();
}

fn ends_here(flow: &Flow) -> bool {
    flow.open || !flow.exits.is_empty()
}

fn frees_by_name(name: &str) -> bool {
    role_of(name).is_some_and(|(_, role)| role.frees())
}

fn allocates_by_name(name: &str) -> bool {
    role_of(name).is_some_and(|(_, role)| !role.frees())
}
