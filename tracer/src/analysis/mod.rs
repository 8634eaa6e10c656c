//! What the numbers mean: which line is responsible, which lines and files hold and grow, and whether a
//! stack's growth looks like a leak.
//!
//! Called by `report` with the ledger and the symbolized stacks. Pure.

mod allocator;
mod cohorts;
mod cpp_name;
mod group;
mod levels;
mod module_kind;
mod native_frames;
mod place;
mod responsible;
mod runtime;
mod slope;
mod stability;
mod stack;
mod trend;
mod verdict;

#[cfg(test)]
mod responsible_tests;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod trend_samples;
#[cfg(test)]
mod verdict_heap_tests;
#[cfg(test)]
mod verdict_tests;

pub use cohorts::Cohort;
pub use group::{FileRow, LineRow, by_file, by_line};
pub use native_frames::NativeFrames;
pub use place::{Place, UNKNOWN_STACK};
pub use responsible::responsible;
pub use stability::{FEWEST_TO_BE_STABLE, is_stable, still_growing};
pub use stack::{NamedStack, NamedStacks};
pub use trend::{History, Step, Trend, trend};
pub use verdict::{FEWEST_ITERATIONS, Verdict};
