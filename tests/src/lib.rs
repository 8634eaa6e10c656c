//! What the tests on real programs and the real kernel share: programs to trace, running memtrace on them,
//! reading its report. `docs/testing.md` says how to write a test with it.

mod binary;
mod book;
mod control;
mod document;
mod flask;
mod known;
mod lines;
mod memtrace;
mod nginx;
mod packages;
mod postgres;
mod process;
mod program;
mod python;
mod requirements;
mod target;
mod wait;

pub use binary::memtrace_binary;
pub use book::{Book, Counts};
pub use control::{ControlFifos, make_fifo};
pub use document::{Document, Frame, Stack};
pub use flask::Flask;
pub use known::{Compared, KNOWN_FILE, Known, MOST_FRAMES};
pub use memtrace::{Finished, Memtrace, Running};
pub use nginx::Nginx;
pub use packages::packages;
pub use postgres::Postgres;
pub use process::{bytes_at, mapped_object, start_time};
pub use program::Program;
pub use python::{Python, SYSTEM_PYTHON};
pub use requirements::{absent, cannot_trace, in_full, skip};
pub use target::Target;
pub use wait::{LONG, until};
