//! From a frame to its caller's: an object's call frame information as tables for the kernel side.

mod rows;
mod stub;

pub(crate) use rows::Rows;
pub use stub::{Deferred, Table, Tables, UnwindError, build};
