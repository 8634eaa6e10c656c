//! Two runs side by side: which stack of the one is which of the other, although they ran at other addresses, and
//! mostly from another build. docs/diff.md says what identifies a stack.
//!
//! `memtrace diff` compares two JSON reports; `gates` compares a run with its `--baseline`. Pure, but for
//! reading files.

mod diff;
mod error;
mod identity;
mod member;
mod pairing;
mod raw;
mod recording;

pub use diff::{Change, Diff, DiffSide, Filter};
pub use error::RecordingError;
pub use member::{Member, Party};
pub use pairing::{Pair, Share, pair};
pub use recording::Recording;

#[cfg(test)]
pub(crate) mod samples;
