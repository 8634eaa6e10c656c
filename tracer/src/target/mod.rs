//! A process: what it is, what it has mapped, how it starts and ends.

mod elf;
mod error;
mod identity;
mod launch;
mod module;
mod modules;
mod process;

pub use error::TargetError;
pub use identity::Identity;
pub use launch::{Held, Launched, Progress};
pub use module::{Location, Module, ModuleId};
pub use modules::Modules;
pub use process::Process;
pub(crate) use elf::read_all as read_object;
