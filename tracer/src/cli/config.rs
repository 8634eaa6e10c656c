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

const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_ITERATIONS: u64 = 5;
const DEFAULT_MAX_ITERATIONS: u64 = 100;

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

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use clap::Parser as _;

    use super::*;
    use crate::{
        cli::{Arguments, Request},
        gates::Gates,
    };

    fn config(line: &str) -> Result<TraceConfig, UsageError> {
        let arguments = Arguments::try_parse_from(line.split_whitespace());
        match Request::resolve(arguments.unwrap_or_else(|error| panic!("{line}: {error}")))? {
            Request::Trace(config) => Ok(*config),
            Request::Doctor(_) | Request::Diff(_) => panic!("{line}: traces nothing"),
        }
    }

    fn resolved(line: &str) -> TraceConfig {
        config(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn attaching_marks_by_the_clock_and_ends_by_itself() {
        let config = resolved("memtrace --pid 1");
        assert_eq!((config.interval, config.iterations), (Some(DEFAULT_INTERVAL), Some(5)));
        assert_eq!(config.output, Output::Stdout);
    }

    #[test]
    fn a_mark_function_replaces_the_clock() {
        let config = resolved("memtrace --pid 1 --mark-fn f@libx.so");
        assert_eq!((config.interval, config.iterations), (None, None));
        let object = Some("libx.so".to_owned());
        assert_eq!(config.mark_fn, Some(MarkFunction { symbol: "f".to_owned(), object }));
        let both = resolved("memtrace --pid 1 --mark-fn f -i 2s");
        assert_eq!((both.interval, both.iterations), (Some(Duration::from_secs(2)), Some(5)));
    }

    #[test]
    fn so_does_a_script() {
        let config = resolved("memtrace --pid 1 --control fifo:a,b");
        assert_eq!((config.interval, config.iterations), (None, None));
        assert!(config.control.is_some());
        let both = resolved("memtrace --pid 1 --control fifo:a -i 2s");
        assert_eq!((both.interval, both.iterations), (Some(Duration::from_secs(2)), Some(5)));
        assert!(config_error("memtrace --pid 1 --control a,b").contains("fifo:CTL"));
    }

    #[test]
    fn so_does_a_target_that_marks_by_itself() {
        let marking = |line| resolved(line).for_marking_target();
        let config = marking("memtrace --pid 1");
        assert_eq!((config.interval, config.iterations), (None, None));
        assert_eq!(marking("memtrace --pid 1 -n 7").iterations, Some(7));
        assert_eq!(marking("memtrace --pid 1 --until-stable").iterations, Some(100));
        let asked = marking("memtrace --pid 1 -i 2s");
        assert_eq!((asked.interval, asked.iterations), (Some(Duration::from_secs(2)), Some(5)));
    }

    #[test]
    fn a_function_of_python_marks_under_exec_only() {
        let config =
            resolved("memtrace exec --mark-py shop:Cart.add --mark-every 3 -- python3 x.py");
        let function = config.mark_py.as_ref().expect("given");
        assert_eq!((function.module.as_str(), function.function.as_str()), ("shop", "Cart.add"));
        assert_eq!((config.mark_every, config.expects_marks()), (3, true));
        assert_eq!(resolved("memtrace exec --mark-fn f -- ls").mark_every, 1);
        assert!(config_error("memtrace exec --mark-py shop -- ls").contains("MODULE:FUNCTION"));
        assert!(config_error("memtrace --pid 1 --mark-every 2").contains("add --mark-fn SYMBOL"));
        assert!(config_error("memtrace exec --mark-py a:b --runs 2 -- ls").contains("--mark-py"));
        assert!(Arguments::try_parse_from("memtrace --pid 1 --mark-py a:b".split(' ')).is_err());
    }

    #[test]
    fn a_command_is_one_iteration_and_keeps_its_stdout() {
        for line in ["memtrace exec -- ls -l", "memtrace exec ls -l"] {
            let config = resolved(line);
            let command = vec!["ls".into(), "-l".into()];
            assert_eq!(config.target, Target::Exec { command, as_root: false });
            assert_eq!((config.interval, config.iterations), (None, None));
            assert_eq!(config.output, Output::Stderr);
        }
        assert_eq!(resolved("memtrace exec -o - -- ls").output, Output::Stdout);
    }

    #[test]
    fn runs_are_iterations_and_the_first_is_the_baseline() {
        assert_eq!(resolved("memtrace exec -- ls").runs, 1);
        let config = resolved("memtrace exec --runs 5 -- ls");
        assert_eq!((config.runs, config.warmup), (5, 1));
        assert_eq!(resolved("memtrace exec --runs 5 -w 3 -- ls").warmup, 3);
        assert_eq!(resolved("memtrace exec --runs 1 -i 1s -- ls").warmup, 0, "one run is plain");
        for (option, named) in
            [("-i 1s", "--interval"), ("--mark-fn f", "--mark-fn"), ("-n 3", "--iterations")]
        {
            let error = config_error(&format!("memtrace exec --runs 2 {option} -- ls"));
            assert!(error.contains(named), "{error}");
        }
        assert!(config_error("memtrace exec --runs 2 -w 2 -- ls").contains("at least 3 runs"));
    }

    #[test]
    fn until_stable_has_its_own_end() {
        let config = resolved("memtrace --pid 1 --until-stable");
        assert_eq!((config.until_stable, config.iterations), (true, Some(DEFAULT_MAX_ITERATIONS)));
        let config = resolved("memtrace exec --until-stable --max-iterations 7 -i 1s -- ls");
        assert_eq!(config.iterations, Some(7));
        let config = resolved("memtrace exec --until-stable --runs 9 -- ls");
        assert_eq!((config.iterations, config.runs), (None, 9));
        assert!(config_error("memtrace exec --until-stable -- ls").contains("--mark-fn"));
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let config = resolved("memtrace --pid 1 --min-size 10k --max-size 10MiB");
        assert_eq!((config.min_size, config.max_size), (10_000, 10 << 20));
        assert!(
            config_error("memtrace --pid 1 --min-size 2MB --max-size 1MB").contains("--min-size")
        );
        assert!(config_error("memtrace --pid 1 --mark-fn @x").contains("--mark-fn"));
    }

    #[test]
    fn gates_are_sizes_and_a_baseline_is_for_gates() {
        let config = resolved(
            "memtrace --pid 1 --fail-on-growth 10KiB --fail-on-growth-per-stack 0 --baseline b.json",
        );
        assert_eq!(config.judging.gates(), Gates { total: Some(10 << 10), per_stack: Some(0) });
        let settings = serde_json::to_value(&config).expect("settings are JSON");
        assert_eq!(settings["fail_on_growth"], 10 << 10);
        assert_eq!(settings["baseline"], "b.json");
        assert!(config_error("memtrace --pid 1 --baseline b.json").contains("--fail-on-growth"));
    }

    #[test]
    fn a_path_that_is_no_text_leaves_the_settings_whole() {
        let path = OsString::from_vec(b"s-\xff".to_vec());
        let words = ["memtrace", "--pid", "1", "--suppressions"].map(Into::into);
        let arguments = Arguments::try_parse_from(words.into_iter().chain([path]));
        let Ok(Ok(Request::Trace(config))) = arguments.map(Request::resolve) else {
            panic!("the arguments are right")
        };
        let settings = serde_json::to_value(&*config).expect("settings are JSON");
        assert_eq!(settings["suppressions"], "s-\u{fffd}");
    }

    #[test]
    fn a_command_s_objects_are_counted_and_a_service_is_not_slowed_down() {
        let objects = |line| resolved(line).python_objects;
        assert_eq!(objects("memtrace exec -- python3"), PythonObjects::Exact);
        assert_eq!(objects("memtrace --pid 1"), PythonObjects::Classes);
        assert_eq!(objects("memtrace --pid 1 --python-objects off"), PythonObjects::Off);
        assert_eq!(objects("memtrace --pid 1 --python-objects exact"), PythonObjects::Exact);
        assert_eq!(objects("memtrace exec --python-objects off -- python3"), PythonObjects::Off);
        let classes = "memtrace exec --python-objects classes -- python3";
        assert_eq!(objects(classes), PythonObjects::Classes);
    }

    #[test]
    fn force_is_for_files() {
        for line in ["--pid 1 --force", "--pid 1 --force -o -", "exec --force -- ls"] {
            let error = config_error(&format!("memtrace {line}"));
            assert!(error.contains("--junit FILE"), "{error}");
        }
        assert!(resolved("memtrace --pid 1 --force --junit j.xml").judging.force);
        resolved("memtrace --pid 1 --force -o report");
    }

    fn config_error(line: &str) -> String {
        config(line).map_or_else(|error| error.to_string(), |_| panic!("{line} was taken"))
    }

    #[test]
    fn the_definition_holds_together() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
