//! What can be typed. No meaning, no side effects: see `config` for these.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum, builder::FalseyValueParser};
use tracer_common::limits::{DEFAULT_MAX_LIVE, DEFAULT_MAX_STACKS};

use super::{diff::DiffArguments, judging::JudgingArguments};

/// Which call stacks of a running process keep growing: from outside, with no restart and no rebuild.
#[derive(Clone, Debug, Parser)]
#[command(name = "memtrace", version, args_conflicts_with_subcommands = true, help_expected = true)]
#[command(
    override_usage = "memtrace --pid PID [OPTIONS]\n       memtrace exec [OPTIONS] -- CMD [ARG]...\n       memtrace diff A.json B.json\n       memtrace doctor [--pid PID]"
)]
#[command(
    after_help = "Examples:\n  sudo memtrace --pid 1234 --debug\n  sudo memtrace exec -- ./server --port 80"
)]
pub struct Arguments {
    /// What to do instead of attaching to a process.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Attach to this running process. It is not stopped, changed, or slowed more than the probes cost.
    #[arg(short, long, value_name = "PID")]
    pub pid: Option<u32>,

    /// How to trace and report.
    #[command(flatten)]
    pub trace: TraceArguments,
}

/// The other ways to use memtrace.
#[derive(Clone, Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it, taken apart at once")]
pub enum Command {
    /// Start a command under trace, from its first instruction
    Exec(ExecArguments),
    /// Compare two JSON reports: which stacks grew more, which less
    Diff(DiffArguments),
    /// Say what works on this machine, and for a process, and what mends the rest
    Doctor(DoctorArguments),
}

/// `memtrace doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArguments {
    /// A process that is to be traced; nothing is attached to it
    #[arg(short, long, value_name = "PID")]
    pub pid: Option<u32>,

    /// How much the maps may hold.
    #[command(flatten)]
    pub capacity: CapacityArguments,
}

/// How much the kernel side can hold.
#[derive(Clone, Copy, Debug, Args)]
pub struct CapacityArguments {
    /// Live blocks that can be followed
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_LIVE,
          value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub max_live: u32,

    /// Distinct call stacks that can be told apart
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_STACKS,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub max_stacks: u32,
}

/// `memtrace exec`.
#[derive(Clone, Debug, Args)]
pub struct ExecArguments {
    /// How to trace and report.
    #[command(flatten)]
    pub trace: TraceArguments,

    /// Run the command N times; each run is one iteration. The first is the baseline, or the first K with --warmup K.
    /// After a run that fails there are no more
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..),
          conflicts_with = "max_iterations")]
    pub runs: u32,

    /// A mark at the end of each call of this function of a Python program, as in app:handle or app:Cart.checkout; the
    /// program needs no change
    #[arg(long, value_name = "MODULE:FUNCTION")]
    pub mark_py: Option<String>,

    /// Run the command as root even under sudo, not as the user that called sudo
    #[arg(long)]
    pub as_root: bool,

    /// The command and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    pub command: Vec<OsString>,
}

/// Options that serve `--pid` and `exec` alike.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct TraceArguments {
    /// The detailed report, block by block as iterations end
    #[arg(long, env = "MEMTRACE_DEBUG", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub debug: bool,

    /// End after N measured iterations [default: 5 with --interval under --pid, else the target's end]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub iterations: Option<u64>,

    /// The first K iterations only form the baseline
    #[arg(short, long, value_name = "K", default_value_t = 0)]
    pub warmup: usize,

    /// Go on until no stack has grown in both of the last two measured iterations
    #[arg(long, conflicts_with = "iterations")]
    pub until_stable: bool,

    /// With --until-stable: give up after N measured iterations [default: 100]
    #[arg(long, value_name = "N", requires = "until_stable", value_parser = clap::value_parser!(u64).range(2..))]
    pub max_iterations: Option<u64>,

    /// A mark every DUR, as in 500ms or 5s [default: 5s under --pid when no other mark is asked for]
    #[arg(short, long, value_name = "DUR", value_parser = parse_interval)]
    pub interval: Option<Duration>,

    /// A mark at each entry of this function of the target
    #[arg(long, value_name = "SYMBOL[@OBJECT]")]
    pub mark_fn: Option<String>,

    /// With --mark-fn or --mark-py: a mark only for each Nth call of the function [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub mark_every: Option<u64>,

    /// Obey words from the FIFO CTL, one a line: snapshot [LABEL], enable, disable, stop, ping; each is answered with
    /// ack in the FIFO ACK
    #[arg(long, value_name = "fifo:CTL[,ACK]")]
    pub control: Option<String>,

    /// Rows per list
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    pub top: usize,

    /// Record only blocks of at least this size, as in 4KiB
    #[arg(long, value_name = "SIZE")]
    pub min_size: Option<ByteSize>,

    /// Record only blocks of at most this size
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<ByteSize>,

    /// What the report is written as
    #[arg(long, value_enum, default_value_t = FormatArgument::Text)]
    pub format: FormatArgument,

    /// Where the report goes; - is stdout [default: stdout; under exec stderr]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Replace an existing FILE of --output or --junit
    #[arg(long)]
    pub force: bool,

    /// Stop the target (SIGSTOP) while probes are set in each library that it loads, so that not even the first
    /// allocation of an allocator that comes by dlopen is missed. A stop of some milliseconds for every dlopen
    /// and dlclose; it can interrupt system calls, and whoever watches the target sees it stop. Killing memtrace
    /// with SIGKILL just then leaves it stopped: kill -CONT PID
    #[arg(long)]
    pub sync_dlopen: bool,

    /// Which native frames to show in stacks that have Python's: all, those that are not the interpreter's own (mixed),
    /// or none
    #[arg(long, value_enum, value_name = "WHICH", default_value_t = NativeFramesArgument::Mixed)]
    pub native_frames: NativeFramesArgument,

    /// Count Python's objects: exact is each, on the line that made it, which makes Python some 50 times slower; classes
    /// is by size class, with a hint of the lines, at little cost; off is only what Python takes from malloc, mostly what
    /// has more than 512 bytes
    /// [default: exact under exec, classes under --pid]
    #[arg(
        long,
        env = "MEMTRACE_PYTHON_OBJECTS",
        value_enum,
        value_name = "HOW",
        hide_env_values = true
    )]
    pub python_objects: Option<PythonObjectsArgument>,

    /// Incomplete data is a failure (exit code 4)
    #[arg(long)]
    pub strict: bool,

    /// Probe a process with a seccomp filter even on kernels that kill it for that (6.11 to 6.12.13, 6.13 to 6.13.2)
    #[arg(long)]
    pub allow_seccomp: bool,

    /// How much the maps may hold.
    #[command(flatten)]
    pub capacity: CapacityArguments,

    /// What is to be made of growth.
    #[command(flatten)]
    pub judging: JudgingArguments,

    /// Only errors and the report
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say what is done and how long it takes; twice: what the kernel side finds odd, too
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// For `cargo xtask bench` only: probe for comparison's sake, and report nothing of use
    #[arg(long, value_enum, value_name = "MODE", hide = true)]
    pub bench: Option<BenchMode>,

    /// Colours in the report
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

/// `--native-frames`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NativeFramesArgument {
    /// Each
    All,
    /// Those that are not the interpreter's own
    Mixed,
    /// None
    PythonOnly,
}

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArgument {
    /// For people
    Text,
    /// For programs: one document
    Json,
}

/// `--python-objects`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PythonObjectsArgument {
    /// Each object
    Exact,
    /// By size class
    Classes,
    /// Only what Python takes from malloc
    Off,
}

/// `--bench`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchMode {
    /// Programs that do nothing, at the usual instructions
    Floor,
    /// The usual programs, at each function's first instruction
    OffsetZero,
    /// The usual programs, with the stacks of `bpf_get_stack`
    KernelStacks,
    /// The usual programs, with stacks walked as on kernels without `bpf_loop`
    TailCalls,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    const SHORTEST: Duration = Duration::from_millis(1);
    match humantime::parse_duration(text) {
        Ok(duration) if duration >= SHORTEST => Ok(duration),
        Ok(_) => Err("an interval has at least 1ms".to_owned()),
        Err(error) => Err(format!("{error}; write a duration as 500ms, 5s or 2m")),
    }
}
