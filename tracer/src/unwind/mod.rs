//! From a frame to its caller's, for code that keeps no frame pointer.
//!
//! Pure functions of an ELF object's bytes. [`build`] turns call frame information into the tables that the
//! kernel side searches; why they look like that is in `docs/decisions/0002-unwind-tables.md`.

mod build;
mod deferred;
mod entries;
mod error;
mod outermost;
mod rows;
mod rule;
mod section;
mod table;
mod writer;

#[cfg(test)]
mod tests;

pub use build::build;
pub use deferred::{Deferred, DeferredFrame, Mapping};
pub use error::UnwindError;
pub(crate) use rows::Rows;
pub use table::{Table, Tables};
