//! Addresses become functions, files and lines. The only place that names blazesym.

mod frame;

pub use frame::{Frame, Language};
