//! May it merge? Limits on growth, and whether a run kept them.
//!
//! `report` asks for the rulings when it is built, and shows them; `session` makes the exit code of them. Pure.

mod judge;
mod limit;
mod outcome;

#[cfg(test)]
mod tests;

pub use judge::{Basis, judge};
pub use limit::{Gate, Gates};
pub use outcome::{Flaw, Grower, Outcome, Ruling};
