//! What is known of CPython from outside: where a process has its interpreter, how that keeps its frames, and what their
//! code is called.
//!
//! The session asks the [`Finder`] and tells the kernel side [`Interpreter::config`]; the frames that come back are named by
//! [`Names`]. Everything is read from the target's files and memory, which it may change at any time: nothing that is read
//! is trusted to be sane, and an interpreter that does not fit what is known of its version is [`Unfit`], never guessed at.

mod accessor;
mod chain;
mod check;
mod code;
mod codes;
mod copied;
mod debug_offsets;
mod image;
mod interpreter;
mod layout;
mod line_table;
mod memory;
mod names;
mod object;
mod places;
mod switches;
mod text;
mod thread_data;
mod threads;
mod unfit;
mod version;
mod version_text;

pub use chain::Chain;
pub use code::{PythonCode, Unread};
pub use codes::Unnamed;
pub use copied::CodeCopy;
pub use interpreter::{Finder, Found, Interpreter};
pub use line_table::LineTable;
pub use memory::Memory;
pub use names::{FREED, Names};
pub(crate) use switches::switches;
pub use unfit::{Build, Unfit};
pub use version::Version;
