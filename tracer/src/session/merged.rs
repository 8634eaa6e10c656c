//! Stacks of a Python program that read the same are one.
//!
//! To the kernel side each instruction of Python's is a stack of its own, and so is each of the ways in which the
//! interpreter gets from one to the next, of which it has many. Of a program that is being imported nearly every object
//! would have one; and in another run of the same command, where its code objects lie elsewhere, all would have others.

use tracer_common::{FrameWord, Space, StackHash, StackId};

use super::{python_frames::PythonFrames, stacks::KnownStack};
use crate::{
    analysis::NativeFrames,
    target::{Location, Modules},
};

/// The id of a stack by what a report shows of it. It keeps its domain.
pub(super) fn id(
    space: Space,
    stack: &KnownStack,
    domain: StackId,
    frames: &PythonFrames,
    modules: &Modules,
    native: NativeFrames,
) -> StackId {
    let shows = |module: u32| {
        modules.all().get(module as usize).is_none_or(|it| native.shows(&it.path.to_string_lossy()))
    };
    let words = stack.locations.iter().filter_map(|location| match *location {
        Location::Python(id) => Some(frames.hash(id)),
        Location::InModule(module, at) if shows(module.0) => {
            Some(FrameWord::in_module(module.0, at.0, 0).0)
        }
        Location::Interrupted(module, at) if shows(module.0) => {
            Some(FrameWord::in_module(module.0, at.0, FrameWord::EXACT).0)
        }
        Location::Unmapped(at) if native != NativeFrames::PythonOnly => {
            Some(FrameWord::bare(at, 0).0)
        }
        _ => None,
    });
    let hash = words.fold(StackHash::new(space), StackHash::with);
    let end = stack.python.as_ref().map_or(0, |python| python.found.end as u64);
    hash.with(end).finish(stack.status as u32).in_domain(domain.domain())
}
