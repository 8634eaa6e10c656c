//! Why an interpreter's allocator is not known.

use thiserror::Error;

/// Why the place of an interpreter's allocator tables can't be told from its code.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TableError {
    /// One of the functions that use the tables is not exported, or has no code in the file.
    #[error("it exports no {function}")]
    Missing {
        /// Its name.
        function: String,
    },
    /// The function's code has another form than in the releases that are known.
    #[error("the code of {function} has a form that is not known")]
    Unknown {
        /// Its name.
        function: String,
    },
}
