//! What the arguments mean: defaults resolved, contradictions refused.

use std::{
    ffi::OsString,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    time::Duration,
};

use bytesize::ByteSize;
use clap::ColorChoice;
use serde::Serialize;

use super::{
    ControlFifos, JudgingConfig, PythonFunction, UsageError,
    arguments::{
        BenchMode, FormatArgument, NativeFramesArgument, PythonObjectsArgument, TraceArguments,
    },
};
use crate::{analysis::NativeFrames, units::Pid};

pub(super) const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_ITERATIONS: u64 = 5;
pub(super) const DEFAULT_MAX_ITERATIONS: u64 = 100;

/// A run, completely described.
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct TraceConfig {
    /// Whom.
    #[serde(skip)]
    pub target: Target,
    /// The detailed report.
    pub debug: bool,
    /// Measured iterations until the end; `None`: until the target ends.
    pub iterations: Option<u64>,
    /// Whether nobody said how many.
    #[serde(skip)]
    pub iterations_by_default: bool,
    /// Whether the run ends as soon as nothing grows any more.
    pub until_stable: bool,
    /// Iterations before the baseline.
    pub warmup: usize,
    /// How often the command is run; each time is an iteration, if it is more than once.
    pub runs: u32,
    /// Time between marks.
    #[serde(serialize_with = "in_nanoseconds", rename = "interval_ns")]
    pub interval: Option<Duration>,
    /// Whether no marks were asked for, so that the clock makes some unless the target does.
    #[serde(skip)]
    pub marks_by_default: bool,
    /// Whether the target marks by itself.
    #[serde(skip)]
    pub target_marks: bool,
    /// Function that marks.
    pub mark_fn: Option<MarkFunction>,
    /// Function of a Python program that marks.
    pub mark_py: Option<PythonFunction>,
    /// Calls of these functions per mark.
    pub mark_every: u64,
    /// Where a script's words come from.
    pub control: Option<ControlFifos>,
    /// Rows per list.
    pub top: usize,
    /// Smallest block recorded, bytes.
    pub min_size: u64,
    /// Largest block recorded, bytes.
    pub max_size: u64,
    /// What the report is written as.
    pub format: Format,
    /// Where it goes.
    #[serde(skip)]
    pub output: Output,
    /// Whether incomplete data is a failure.
    pub strict: bool,
    /// Whether a seccomp filter is known to let return probes pass.
    pub allow_seccomp: bool,
    /// `--sync-dlopen`.
    pub sync_dlopen: bool,
    /// How Python's objects are counted.
    pub python_objects: PythonObjects,
    /// Whether nobody said how.
    #[serde(skip)]
    pub python_objects_by_default: bool,
    /// What is to be made of growth.
    #[serde(flatten)]
    pub judging: JudgingConfig,
    /// Native frames to show beside Python's.
    #[serde(skip)]
    pub native_frames: NativeFrames,
    /// Capacity of the live set, blocks.
    pub max_live: u32,
    /// Capacity for stacks.
    pub max_stacks: u32,
    /// Only errors and the report.
    #[serde(skip)]
    pub quiet: bool,
    /// How often `-v` was given.
    #[serde(skip)]
    pub verbose: u8,
    /// Whether the report is coloured.
    #[serde(skip)]
    pub color: bool,
    /// What the bench compares with.
    #[serde(skip)]
    pub bench: Option<BenchMode>,
}

/// How Python's objects are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PythonObjects {
    /// Each.
    Exact,
    /// By size class.
    Classes,
    /// Those that Python takes from the C allocator.
    Off,
}

/// Whom to trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A running process.
    Pid(Pid),
    /// A command to start.
    Exec {
        /// It and its arguments.
        command: Vec<OsString>,
        /// As root, whoever called sudo.
        as_root: bool,
    },
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// Whether it may exist already.
        force: bool,
    },
}

/// `SYMBOL[@OBJECT]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MarkFunction {
    /// The function's name, mangled or not.
    pub symbol: String,
    /// Path or file name of the object to look in; all, when `None`.
    pub object: Option<String>,
}

impl TraceConfig {
    /// Gives the arguments their meaning: defaults resolved, contradictions refused.
    pub(super) fn new(
        target: Target,
        trace: TraceArguments,
        mark_py: Option<&str>,
    ) -> Result<Self, UsageError> {
        let attaches = matches!(target, Target::Pid(_));
        let mark_fn = trace.mark_fn.map(|text| MarkFunction::parse(&text)).transpose()?;
        let mark_py = mark_py.map(PythonFunction::parse).transpose()?;
        if trace.mark_every.is_some() && mark_fn.is_none() && mark_py.is_none() {
            return Err(UsageError::NothingToCount);
        }
        let control = trace.control.map(|text| ControlFifos::parse(&text)).transpose()?;
        let marks_by_default =
            attaches && trace.interval.is_none() && mark_fn.is_none() && control.is_none();
        let interval = trace.interval.or(marks_by_default.then_some(DEFAULT_INTERVAL));
        let iterations_by_default = trace.iterations.is_none();
        let iterations = match trace.iterations {
            None if trace.until_stable => {
                Some(trace.max_iterations.unwrap_or(DEFAULT_MAX_ITERATIONS))
            }
            None if attaches && interval.is_some() => Some(DEFAULT_ITERATIONS),
            given => given,
        };
        let min_size = trace.min_size.map_or(0, |ByteSize(bytes)| bytes);
        let max_size = trace.max_size.map_or(u64::MAX, |ByteSize(bytes)| bytes);
        if min_size > max_size {
            return Err(UsageError::NoSizeLeft { min_size, max_size });
        }
        let output = match trace.output {
            None if attaches => Output::Stdout,
            None => Output::Stderr,
            Some(path) if path == Path::new("-") => Output::Stdout,
            Some(path) => Output::File { path, force: trace.force },
        };
        if trace.force && trace.judging.junit.is_none() && !matches!(output, Output::File { .. }) {
            return Err(UsageError::NothingToReplace);
        }
        let color = output.is_coloured(trace.color);
        let format = trace.format.into();
        Ok(Self {
            target,
            debug: trace.debug,
            iterations,
            iterations_by_default,
            until_stable: trace.until_stable,
            warmup: trace.warmup,
            runs: 1,
            interval,
            marks_by_default,
            target_marks: false,
            mark_fn,
            mark_py,
            mark_every: trace.mark_every.unwrap_or(1),
            control,
            top: trace.top,
            min_size,
            max_size,
            format,
            output,
            strict: trace.strict,
            allow_seccomp: trace.allow_seccomp,
            sync_dlopen: trace.sync_dlopen,
            native_frames: match trace.native_frames {
                NativeFramesArgument::All => NativeFrames::All,
                NativeFramesArgument::Mixed => NativeFrames::Mixed,
                NativeFramesArgument::PythonOnly => NativeFrames::PythonOnly,
            },
            python_objects: PythonObjects::new(trace.python_objects, attaches),
            python_objects_by_default: trace.python_objects.is_none(),
            judging: JudgingConfig::new(trace.judging, trace.force)?,
            max_live: trace.capacity.max_live,
            max_stacks: trace.capacity.max_stacks,
            quiet: trace.quiet,
            verbose: trace.verbose,
            color,
            bench: trace.bench,
        })
    }

    /// The same for a target that marks by itself (`memtrace:iteration`): by default, no other marks are made then,
    /// and `--iterations` has no default.
    #[must_use]
    pub fn for_marking_target(mut self) -> Self {
        self.target_marks = true;
        if self.marks_by_default {
            self.interval = None;
            // With --until-stable it is the limit.
            if self.iterations_by_default && !self.until_stable {
                self.iterations = None;
            }
        }
        self
    }

    /// Whether something is to make marks. Else the whole run is one iteration.
    pub fn expects_marks(&self) -> bool {
        self.interval.is_some()
            || self.mark_fn.is_some()
            || self.mark_py.is_some()
            || self.control.is_some()
            || self.target_marks
            || self.runs > 1
    }
}

impl TraceConfig {
    /// The same, with the command run so often. A run starts from nothing, so one at least is the baseline.
    pub(super) fn repeated(mut self, runs: u32) -> Result<Self, UsageError> {
        if runs == 1 {
            let compares = self.expects_marks();
            return if compares || !self.until_stable {
                Ok(self)
            } else {
                Err(UsageError::NothingToCompare)
            };
        }
        if self.until_stable {
            self.iterations = None; // as many as there are runs
        }
        let others = [
            (self.interval.is_some(), "--interval"),
            (self.mark_fn.is_some(), "--mark-fn"),
            (self.mark_py.is_some(), "--mark-py"),
            (self.control.is_some(), "--control"),
            (self.iterations.is_some(), "--iterations"),
        ];
        if let Some(&(_, option)) = others.iter().find(|(given, _)| *given) {
            return Err(UsageError::RunsAndMarks { runs, option });
        }
        (self.runs, self.warmup) = (runs, self.warmup.max(1));
        if self.warmup >= runs as usize {
            return Err(UsageError::OnlyWarmup { warmup: self.warmup, runs });
        }
        Ok(self)
    }
}

impl PythonObjects {
    /// A service that runs is not to be slowed down unasked; a command is started to be looked at.
    fn new(asked: Option<PythonObjectsArgument>, attaches: bool) -> Self {
        match asked {
            Some(PythonObjectsArgument::Classes) => Self::Classes,
            Some(PythonObjectsArgument::Off) => Self::Off,
            None if attaches => Self::Classes,
            Some(PythonObjectsArgument::Exact) | None => Self::Exact,
        }
    }
}

impl MarkFunction {
    fn parse(text: &str) -> Result<Self, UsageError> {
        // The last one, for C++ and Rust names have no `@`, but symbol versions (`f@@V1`) do.
        let (symbol, object) = match text.rsplit_once('@') {
            Some((symbol, object)) if !object.is_empty() => (symbol, Some(object.to_owned())),
            Some(_) => return Err(UsageError::EmptyMarkFunction { text: text.to_owned() }),
            None => (text, None),
        };
        if symbol.is_empty() {
            return Err(UsageError::EmptyMarkFunction { text: text.to_owned() });
        }
        Ok(Self { symbol: symbol.to_owned(), object })
    }
}

impl From<FormatArgument> for Format {
    fn from(argument: FormatArgument) -> Self {
        match argument {
            FormatArgument::Text => Self::Text,
            FormatArgument::Json => Self::Json,
        }
    }
}

impl Output {
    /// Whether colours go there.
    pub(super) fn is_coloured(&self, wish: ColorChoice) -> bool {
        match wish {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => self.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    fn is_terminal(&self) -> bool {
        match self {
            Self::Stdout => std::io::stdout().is_terminal(),
            Self::Stderr => std::io::stderr().is_terminal(),
            Self::File { .. } => false,
        }
    }
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn in_nanoseconds<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_nanos() as u64).serialize(serializer)
}
