//! What can be wrong with a report that is to be compared with.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::report::SCHEMA_VERSION;

/// Why a file can't be compared with.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// It can't be read.
    #[error("{}: can't be read", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("{}: not a report of memtrace; write one with --format json -o FILE", path.display())]
    NotAReport {
        /// Its path.
        path: PathBuf,
        /// Where it stops being one.
        #[source]
        source: serde_json::Error,
    },
    /// It is JSON without a version.
    #[error("{}: has no schema_version, so it is no report of memtrace; write one with --format json -o FILE", path.display())]
    NoVersion {
        /// Its path.
        path: PathBuf,
    },
    /// A later memtrace wrote it, or an earlier one.
    #[error("{}: has schema_version {version}, and this memtrace reads {SCHEMA_VERSION}; write it anew with this one", path.display())]
    OtherVersion {
        /// Its path.
        path: PathBuf,
        /// What it has.
        version: u64,
    },
    /// Its growth rests on nothing.
    #[error("{}: has no measured iteration, so it says nothing of growth; record more iterations than the {warmup} of --warmup", path.display())]
    NothingMeasured {
        /// Its path.
        path: PathBuf,
        /// Iterations of warm-up that were asked for.
        warmup: u64,
    },
}
