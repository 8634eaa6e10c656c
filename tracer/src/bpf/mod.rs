//! The kernel side, seen from user space: load, attach, read. The only place that names aya.
//!
//! [`Kernel::load`] puts programs and maps in place, [`Kernel::attach_function`] and its kin set probes,
//! [`Kernel::publish_code`] says how to unwind, [`Kernel::drain`] takes finished epochs out, [`Kernel::stop`] makes every counter final.

mod attach;
mod btf;
mod chain;
mod code;
mod code_event;
mod drain;
mod error;
mod events;
mod group;
mod hold;
mod inbox;
mod kernel;
mod maps;
mod memory;
mod python;
mod semaphore;
mod settings;
mod settle;
mod tables;

pub use attach::ProbedFile;
pub use code_event::NewCode;
pub use drain::{FinishedEpoch, LiveEntry};
pub use error::BpfError;
pub use events::{Event, NewPython, NewStack, PythonRun, RawStack};
pub use group::TargetGroup;
pub use kernel::{InFlight, Kernel};
pub use memory::{MapMemory, locked_by_maps, map_memory};
pub use python::{PythonObstacle, is_fit as is_fit_for_python};
pub use settings::{KernelSettings, StackWalk, UserMark};
pub use tables::{TableId, TablePlace, TableStore};
