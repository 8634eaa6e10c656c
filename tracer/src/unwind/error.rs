//! Why an object gives no tables.

use thiserror::Error;

use crate::sites::SitesError;

/// Why an object gives no unwind tables.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnwindError {
    /// The file is no object that we can read.
    #[error("no unwind tables: {source}")]
    Object {
        /// What is wrong with it.
        #[source]
        source: SitesError,
    },
}
