//! A process: what it has mapped, and what of that outlives it.

mod module;

pub use module::{Location, Module, ModuleId};
