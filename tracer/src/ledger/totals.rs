//! Sums over stacks.

use super::Amount;

/// What grew and what shrank, over all stacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sum over the stacks that grew, in bytes.
    pub growth_bytes: i64,
    /// Sum over the stacks that shrank, in bytes, as a positive number.
    pub freed_bytes: i64,
}

impl Totals {
    /// Growth minus freed, exactly.
    pub fn net_bytes(self) -> i64 {
        self.growth_bytes.saturating_sub(self.freed_bytes)
    }
}

impl FromIterator<Amount> for Totals {
    /// From the changes of the single stacks.
    fn from_iter<I: IntoIterator<Item = Amount>>(changes: I) -> Self {
        let mut totals = Self::default();
        for change in changes {
            if change.bytes > 0 {
                totals.growth_bytes = totals.growth_bytes.saturating_add(change.bytes);
            } else {
                totals.freed_bytes = totals.freed_bytes.saturating_sub(change.bytes);
            }
        }
        totals
    }
}
