//! Gates, baseline, suppressions, and the files for a pipeline: what can be typed, and what it means.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::Args;
use serde::Serialize;

use super::UsageError;
use crate::gates::Gates;

const HEADING: &str = "Gates and pipelines";

/// Options that make something of growth.
#[derive(Clone, Debug, Default, Args)]
pub struct JudgingArguments {
    /// Exit code 3 if the target grows by more than SIZE per measured iteration, on average
    #[arg(long, value_name = "SIZE", help_heading = HEADING)]
    pub fail_on_growth: Option<ByteSize>,

    /// Exit code 3 if any one stack grows by more than SIZE per measured iteration, on average
    #[arg(long, value_name = "SIZE", help_heading = HEADING)]
    pub fail_on_growth_per_stack: Option<ByteSize>,

    /// The gates judge only growth beyond that in FILE, a JSON report, stack by stack
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub baseline: Option<PathBuf>,

    /// Stacks that a pattern of FILE matches are no growth; FILE is one of LeakSanitizer's
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub suppressions: Option<PathBuf>,

    /// Write a JUnit file too, which fails where the exit code does
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub junit: Option<PathBuf>,

    /// Append a summary in Markdown to FILE, such as that of a CI job
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub summary_file: Option<PathBuf>,
}

/// What is to be made of growth.
#[derive(Clone, Debug, Default, Serialize)]
pub struct JudgingConfig {
    /// Limit for the whole target, bytes per measured iteration.
    pub fail_on_growth: Option<u64>,
    /// Limit for each stack, bytes per measured iteration.
    pub fail_on_growth_per_stack: Option<u64>,
    /// The report whose growth is allowed.
    #[serde(serialize_with = "as_text")]
    pub baseline: Option<PathBuf>,
    /// The suppression file.
    #[serde(serialize_with = "as_text")]
    pub suppressions: Option<PathBuf>,
    /// The JUnit file.
    #[serde(skip)]
    pub junit: Option<PathBuf>,
    /// The Markdown file.
    #[serde(skip)]
    pub summary_file: Option<PathBuf>,
    /// Whether an existing JUnit file is replaced.
    #[serde(skip)]
    pub force: bool,
}

impl JudgingConfig {
    /// Gives the arguments their meaning.
    pub(super) fn new(arguments: JudgingArguments, force: bool) -> Result<Self, UsageError> {
        let size = |size: Option<ByteSize>| size.map(|ByteSize(bytes)| bytes);
        let config = Self {
            fail_on_growth: size(arguments.fail_on_growth),
            fail_on_growth_per_stack: size(arguments.fail_on_growth_per_stack),
            baseline: arguments.baseline,
            suppressions: arguments.suppressions,
            junit: arguments.junit,
            summary_file: arguments.summary_file,
            force,
        };
        match &config.baseline {
            Some(baseline) if config.gates() == Gates::default() => {
                Err(UsageError::BaselineWithoutGate { baseline: baseline.clone() })
            }
            _ => Ok(config),
        }
    }

    /// The limits.
    pub fn gates(&self) -> Gates {
        Gates { total: self.fail_on_growth, per_stack: self.fail_on_growth_per_stack }
    }
}

/// Not every path is text; serde refuses those that aren't.
#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn as_text<S: serde::Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref().map(Path::to_string_lossy).serialize(serializer)
}
