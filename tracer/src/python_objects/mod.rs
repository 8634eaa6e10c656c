//! Python's objects: which functions of a running interpreter make and free them, and what is to be done about those that
//! none of them sees.
//!
//! `sites::python` says where an interpreter's allocator tables are; here they are read out of the process, and what
//! stands in them is put to the test, and the books of its own allocator are read (`classes`). `session` sets the probes.

mod classes;
mod command;
mod error;
mod functions;
mod memory;

pub use classes::{NotFound, PIECE, Pools, ProcessView, Ranges, Reading, UsedPool, View};
pub use command::{CommandObjects, VARIABLE, for_command, is_python_command};
pub use error::PythonObjectsError;
pub use functions::{Interpreter, ObjectFunction, Objects};
