//! A process: what it is, what it has mapped, how it starts and ends.

mod elf;
mod error;
mod hazards;
mod identity;
mod launch;
mod links;
mod module;
mod modules;
mod namespace;
mod process;
mod resident;

pub(crate) use elf::read_all as read_object;
pub use error::TargetError;
pub use hazards::Hazards;
pub use identity::Identity;
pub use launch::{Held, Launched, Progress};
pub use module::{Location, Module, ModuleId, PythonFrameId};
pub use modules::{Modules, Span};
pub use namespace::PidNamespace;
pub use process::Process;
pub(crate) use process::own_proc;
pub use resident::Pages;
