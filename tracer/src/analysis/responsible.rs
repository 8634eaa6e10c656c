//! The responsible line of a stack.

use super::{allocator, cpp_name, module_kind, runtime};
use crate::symbolize::{Frame, Language};

/// The position of the responsible frame: the innermost one that is not the allocator, libc, the C++ or
/// Rust runtime's own allocation code, or the Python interpreter. If all are, the innermost one. `None`
/// for a stack without frames.
pub fn responsible(frames: &[Frame]) -> Option<usize> {
    if frames.is_empty() {
        return None;
    }
    Some(frames.iter().position(|frame| !is_plumbing(frame)).unwrap_or(0))
}

/// Whether a frame only passes on somebody else's wish for memory.
///
/// Evidence in order of strength: the object's name, the names of allocation functions, the source
/// file, and only then the namespace or crate, which anybody may have given a similar name.
fn is_plumbing(frame: &Frame) -> bool {
    if frame.language == Language::Python {
        return false;
    }
    if module_kind::is_plumbing(&frame.module) {
        return true;
    }
    let name = frame.function.as_deref().map_or("", cpp_name::qualified);
    if allocator::is_allocator(name) {
        return true;
    }
    let file = frame.file.as_deref();
    file.is_some_and(runtime::is_runtime_file) || runtime::is_runtime_function(name, file.is_some())
}
