//! CPython's own allocator, as far as the bytes of an object tell: where the table is through which all allocations go,
//! and whether some of the interpreter's code goes past it.
//!
//! CPython serves objects of up to 512 bytes out of pools of its own, which the C allocator never sees. All requests
//! go through tables of functions (`PyMemAllocatorEx`): one for objects, one for other memory of Python's. What stands
//! in the tables is known only at run time ([`crate::python_objects`] reads it); where they are is decoded here from
//! the exported functions that use them, as their place moves from release to release.

mod bypass;
mod error;
mod moves;
mod pools;
mod table;
mod target;

pub use bypass::{Bypass, bypasses};
pub use error::TableError;
pub use pools::{PoolSite, pool_site};
pub use table::{ObjectTables, TablePlace, object_tables};
pub use target::target_function;

#[cfg(test)]
mod tests;
