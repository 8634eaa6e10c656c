//! Where memory comes from, as a report's row says it.

use std::fmt;

use super::{NamedStack, responsible};
use crate::{ledger::StackKey, symbolize::Frame};

/// How the row of lost stacks is called.
pub const UNKNOWN_STACK: &str = "(unknown stack)";

/// A responsible line, as exactly as it is known. Ordered by file, then line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place<'a> {
    /// A line of a source file.
    Line {
        /// The file, as the debug information names it.
        file: &'a str,
        /// The line, from 1.
        line: u32,
        /// Its text, if it could be read.
        source: Option<&'a str>,
    },
    /// A call in a function without line information.
    Function {
        /// The object.
        module: &'a str,
        /// Its function.
        function: &'a str,
        /// Bytes from the function's first one.
        offset: u64,
    },
    /// An address in an object without symbols.
    Address {
        /// The object.
        module: &'a str,
        /// The address, by the object's own headers.
        address: u64,
    },
    /// No stack.
    Unknown,
}

impl<'a> Place<'a> {
    /// The place of a frame.
    pub fn of_frame(frame: &'a Frame) -> Self {
        match (&frame.file, frame.line, &frame.function) {
            (Some(file), Some(line), _) => {
                Self::Line { file, line, source: frame.source.as_deref() }
            }
            (_, _, Some(function)) => {
                Self::Function { module: &frame.module, function, offset: frame.offset }
            }
            _ => Self::Address { module: &frame.module, address: frame.address },
        }
    }

    /// The responsible line of a stack; `None` stands for one that nobody could name.
    pub fn of_stack(key: StackKey, stack: Option<&'a NamedStack>) -> Self {
        let frames = match stack {
            Some(stack) if !key.is_unknown() => stack.frames.as_slice(),
            _ => &[],
        };
        responsible(frames).map_or(Self::Unknown, |at| Self::of_frame(&frames[at]))
    }

    /// The source file; the object where the file is not known.
    pub fn file(&self) -> &'a str {
        match *self {
            Self::Line { file, .. } => file,
            Self::Function { module, .. } | Self::Address { module, .. } => module,
            Self::Unknown => UNKNOWN_STACK,
        }
    }

    /// Shorter than the full form: `/src/app.c:42`, `parse+0x4f in /usr/bin/app`, `0x1234 in /usr/bin/app`.
    pub fn brief(&self) -> String {
        match self {
            Self::Line { file, line, .. } => format!("{file}:{line}"),
            Self::Function { module, function, offset } => {
                format!("{function}+{offset:#x} in {module}")
            }
            Self::Address { module, address } => format!("{address:#x} in {module}"),
            Self::Unknown => UNKNOWN_STACK.to_owned(),
        }
    }

    /// The same place with this text, if it is a line.
    pub(super) fn with_source(self, source: Option<&'a str>) -> Self {
        match self {
            Self::Line { file, line, .. } => Self::Line { file, line, source },
            other => other,
        }
    }

    /// The same place, however much of its text is known.
    #[must_use]
    pub fn without_source(self) -> Self {
        self.with_source(None)
    }

    /// The text of the source line.
    pub fn source(&self) -> Option<&'a str> {
        match *self {
            Self::Line { source, .. } => source,
            _ => None,
        }
    }
}

impl fmt::Display for Place<'_> {
    /// As in `File "/src/app.c", line 42`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line, .. } => write!(f, "File \"{file}\", line {line}"),
            Self::Function { module, function, offset } => {
                write!(f, "File \"{module}\", in {function}+{offset:#x}")
            }
            Self::Address { module, address } => {
                write!(f, "File \"{module}\", at {address:#x}")
            }
            Self::Unknown => f.write_str(UNKNOWN_STACK),
        }
    }
}
