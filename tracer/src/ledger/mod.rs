//! The books: finished epochs go in, in order; what every stack allocated, freed, holds and grew by
//! comes out.
//!
//! The run loop pushes an [`EpochRecord`] per drained epoch; `report` reads. Pure: no kernel, no clock,
//! no async, so a recorded stream gives the same report as the live run did.

mod account;
mod amount;
mod classes;
mod cumulative;
mod iteration;
mod key;
pub mod mappings;
mod memory;
mod push;
mod record;
mod series;
mod timeline;
mod totals;
mod view;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod rule_tests;
#[cfg(test)]
pub(crate) mod samples;

pub use amount::Amount;
pub use classes::{ClassGrowth, ClassSample, SIZE_CLASSES};
pub use cumulative::{Ledger, RssChange};
pub use iteration::Iteration;
pub use key::StackKey;
pub use memory::{MemoryParts, MemorySample, Resident, StartSample};
pub use record::{EpochRecord, MarkTrigger, Plan};
pub use series::{Point, Series};
pub use timeline::KEPT_ITERATIONS;
pub use totals::Totals;
pub use view::StackView;
