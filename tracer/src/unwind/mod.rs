//! From a frame to its caller's, for code that keeps no frame pointer.
//!
//! Pure functions of an ELF object's bytes. What they find goes into the kernel side's maps.

mod rows;
mod shims;

pub(crate) use rows::Rows;
pub use shims::shim_steps;
