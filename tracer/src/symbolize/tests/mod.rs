//! Real compilers, real objects, whole frames.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod debug_files;
mod hostile;
mod languages;
mod program;
mod sources;
mod speed;
