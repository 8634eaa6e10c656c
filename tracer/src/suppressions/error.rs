//! What can be wrong with a suppression file.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why a suppression file can't be used.
#[derive(Debug, Error)]
pub enum SuppressionError {
    /// It can't be read.
    #[error("--suppressions {}: can't be read as text", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is no suppression, or one for another tool.
    #[error(
        "--suppressions {}: line {line}, `{text}`: write leak:PATTERN; other kinds are for other sanitizers", path.display()
    )]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: u32,
        /// What stands there.
        text: String,
    },
    /// A pattern without text, which would match all.
    #[error(
        "--suppressions {}: line {line} has no pattern and would suppress everything; write leak:PATTERN", path.display()
    )]
    NoPattern {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: u32,
    },
}
