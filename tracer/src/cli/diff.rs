//! `memtrace diff`.

use std::path::PathBuf;

use clap::{Args, ColorChoice, ValueEnum};

use super::arguments::FormatArgument;
use crate::compare::Filter;

/// `memtrace diff`.
#[derive(Clone, Debug, Args)]
pub struct DiffArguments {
    /// The first report, written with --format json
    #[arg(value_name = "A.json")]
    pub before: PathBuf,

    /// The second one
    #[arg(value_name = "B.json")]
    pub after: PathBuf,

    /// Which stacks are listed
    #[arg(long, value_enum, default_value_t = FilterArgument::Changed)]
    pub filter: FilterArgument,

    /// Stacks per list
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    pub top: usize,

    /// What the comparison is written as
    #[arg(long, value_enum, default_value_t = FormatArgument::Text)]
    pub format: FormatArgument,

    /// Colours in the comparison
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

/// `--filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FilterArgument {
    /// Those that grew more
    Increased,
    /// Those that grew more, and those that grew less
    Changed,
    /// All
    Any,
}

impl From<FilterArgument> for Filter {
    fn from(argument: FilterArgument) -> Self {
        match argument {
            FilterArgument::Increased => Self::Increased,
            FilterArgument::Changed => Self::Changed,
            FilterArgument::Any => Self::Any,
        }
    }
}
