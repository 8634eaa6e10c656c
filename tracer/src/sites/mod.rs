//! Which functions are probed, in which file, at which offset.
//!
//! Everything here is a pure function of an ELF object's bytes: the caller maps the very inode that the
//! target maps, and hands the resulting [`FileOffset`](crate::units::FileOffset)s to `bpf`. A wrong
//! offset would corrupt the target, so nothing is guessed: what can't be shown to be safe falls back to
//! the function's first byte, and what can't be read is not probed.

mod allocator;
mod data;
mod demangle;
mod dynamic;
pub(crate) mod elf;
mod emulation;
mod error;
mod extents;
mod finder;
mod flow;
mod functions;
mod identity;
pub(crate) mod linkage;
mod lookup;
mod mapping;
mod operators;
mod python;
pub(crate) mod symbols;
#[cfg(test)]
pub(crate) mod testing;
mod usdt;

pub use allocator::{Allocator, FunctionSites, Note, allocator_sites};
pub use data::data_segments;
pub use error::{FindError, SitesError};
pub use finder::{Needs, Site, find_site};
pub use functions::{Family, Role, role_of};
pub use identity::{build_id, is_go, is_static_executable};
pub use lookup::{FoundFunction, find_function, find_symbol, find_variable};
pub use mapping::mapping_sites;
pub use python::{
    Bypass, ObjectTables, PoolSite, TableError, TablePlace, bypasses, object_tables, pool_site,
    target_function,
};
pub use usdt::{UsdtSite, usdt_sites};
