//! Python's objects by size class: how many blocks of each class `CPython`'s own allocator (pymalloc) has in use, read out of
//! its books in a running process. No probe is set.
//!
//! pymalloc maps arenas, and cuts each into pools; all blocks of a pool have one size. An array has an entry for
//! each arena, and each pool begins with a header that counts its blocks in use. The array's place is no symbol
//! that a stripped build has, so it is searched for: everything that is followed must agree with everything else,
//! and what does not is refused, never guessed at.
//!
//! `session` reads at marks. [`View`] is all that is asked of a process, so that the rest can be tested without one.

mod arena;
mod geometry;
mod pool;
mod pools;
mod process;
mod search;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod view;

pub use pools::{Pools, Reading, UsedPool};
pub use process::ProcessView;
pub use search::NotFound;
pub use view::{PIECE, Ranges, View};
