//! Whether the report is the whole truth, over both domains.

use super::{Report, closing_line};

impl Report<'_> {
    /// Whether nothing was lost, of the heap or of mappings.
    pub fn all_recorded(&self) -> bool {
        self.ledger.complete && self.mappings.complete
    }

    /// How much was recorded, and what was lost.
    pub(super) fn recorded_line(&self) -> String {
        let heap = closing_line(self.text.events);
        match self.mappings.lost {
            0 => heap,
            lost => format!("{heap}; changes of mappings lost: {lost}"),
        }
    }
}
