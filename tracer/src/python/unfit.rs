//! Why an interpreter's frames are not read.

use super::Version;

/// What keeps an interpreter from being walked. Its process is traced all the same, by its machine code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A version whose structures are not known.
    #[error(
        "no Python frames: CPython {}.{} is not supported (3.10 to 3.13 are)",
        version.major, version.minor
    )]
    Version {
        /// What the target runs.
        version: Version,
    },
    /// It does not say which version it is.
    #[error("no Python frames: {object} does not say which version of CPython it is")]
    NoVersion {
        /// Path of the interpreter's object.
        object: String,
    },
    /// A build with other structures.
    #[error(
        "no Python frames: this CPython is a {build} build, whose structures differ (a release build's are known)"
    )]
    Build {
        /// What kind of build it is.
        build: Build,
    },
    /// Something that every CPython exports is missing.
    #[error("no Python frames: {object} does not export `{symbol}`")]
    Symbol {
        /// Path of the interpreter's object.
        object: String,
        /// What was looked for.
        symbol: &'static str,
    },
    /// The code of a small function is not what is known of it.
    #[error("no Python frames: the code of `{function}` in {object} is not understood")]
    Code {
        /// Path of the object.
        object: String,
        /// The function.
        function: &'static str,
    },
    /// No C library whose thread-specific data are found the known way.
    #[error("no Python frames: the target's C library is not glibc")]
    NoGlibc,
    /// The thread state is kept too far out to be reached at once.
    #[error(
        "no Python frames: the interpreter's thread key is {key}, and only those below 32 are reached"
    )]
    Key {
        /// The key of `pthread_getspecific`.
        key: u32,
    },
    /// What was read contradicts what is known of this version.
    #[error("no Python frames: the interpreter's memory is not as CPython {version}'s ({what})")]
    Layout {
        /// What the interpreter says it is.
        version: Version,
        /// Which structure is wrong.
        what: &'static str,
    },
}

/// Builds of CPython that lay their structures out in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Configured `--with-pydebug`.
    Debug,
    /// Configured `--with-trace-refs`.
    TraceRefs,
    /// Configured `--disable-gil`.
    FreeThreaded,
}

impl std::fmt::Display for Build {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Debug => "debug",
            Self::TraceRefs => "trace-refs",
            Self::FreeThreaded => "free-threaded",
        })
    }
}
