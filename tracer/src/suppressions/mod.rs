//! Leaks that are known and put up with: LeakSanitizer's suppression files.
//!
//! Read by `session` before the run; asked once for each stack when it gets its names.

mod error;
mod list;
mod pattern;

pub use error::SuppressionError;
pub use list::{Suppression, Suppressions};
pub use pattern::Pattern;
