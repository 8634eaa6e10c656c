//! The ways to run a workload: alone, under memtrace in its modes, under other tools.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use xtask::command::find;

use super::process::Process;

/// Where distributions keep heaptrack's recorder.
const HEAPTRACK: [&str; 3] = [
    "/usr/lib/heaptrack/libheaptrack_preload.so",
    "/usr/lib64/heaptrack/libheaptrack_preload.so",
    "/usr/lib/x86_64-linux-gnu/heaptrack/libheaptrack_preload.so",
];

/// How a workload is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// By itself.
    Untraced,
    /// With memtrace's probes, and programs on them that do nothing.
    Floor,
    /// Under memtrace.
    Memtrace,
    /// Under the memtrace that `--against` names.
    Against,
    /// Under memtrace, with the stacks of `bpf_get_stack`.
    KernelStacks,
    /// Under memtrace, as on kernels without `bpf_loop`.
    TailCalls,
    /// Under memtrace, as if it probed each function's first instruction.
    OffsetZero,
    /// Under heaptrack's recorder. What it would write is thrown away; its analyser doesn't run.
    Heaptrack,
    /// Under valgrind's massif.
    Massif,
}

impl Variant {
    /// All, in the table's order.
    pub(super) const ALL: [Self; 9] = [
        Self::Untraced,
        Self::Floor,
        Self::Memtrace,
        Self::Against,
        Self::KernelStacks,
        Self::TailCalls,
        Self::OffsetZero,
        Self::Heaptrack,
        Self::Massif,
    ];

    /// What the table calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Untraced => "untraced",
            Self::Floor => "empty programs (the floor)",
            Self::Memtrace => "memtrace",
            Self::Against => "the other memtrace",
            Self::KernelStacks => "memtrace, stacks by bpf_get_stack",
            Self::TailCalls => "memtrace, walk by tail calls",
            Self::OffsetZero => "memtrace at offset 0",
            Self::Heaptrack => "heaptrack (recorder only)",
            Self::Massif => "valgrind massif",
        }
    }
}

/// The programs that the variants need.
pub(super) struct Tools {
    memtrace: PathBuf,
    against: Option<PathBuf>,
    heaptrack: Option<PathBuf>,
    valgrind: Option<PathBuf>,
    /// A folder per variant, each with a copy of the C library.
    libraries: PathBuf,
}

impl Tools {
    /// Looks for them.
    pub(super) fn find(memtrace: PathBuf, against: Option<PathBuf>, folder: &Path) -> Result<Self> {
        let heaptrack = HEAPTRACK.map(PathBuf::from).into_iter().find(|file| file.is_file());
        let valgrind = find("valgrind");
        for (tool, there) in [("heaptrack", heaptrack.is_some()), ("valgrind", valgrind.is_some())]
        {
            if !there {
                println!("bench: {tool} is not installed, so it is not compared with");
            }
        }
        let libraries = folder.join("lib");
        for variant in Variant::ALL {
            copy_libc(&libraries.join(format!("{variant:?}")))?;
        }
        Ok(Self { memtrace, against, heaptrack, valgrind, libraries })
    }

    /// The memtrace that is measured.
    pub(super) fn memtrace(&self) -> &Path {
        &self.memtrace
    }

    /// A folder with a copy of the C library that nobody else uses.
    pub(super) fn own_libc(&self, name: &str) -> Result<PathBuf> {
        let folder = self.libraries.join(name);
        copy_libc(&folder)?;
        Ok(folder)
    }

    /// Whether a variant can run here.
    pub(super) fn have(&self, variant: Variant) -> bool {
        match variant {
            Variant::Against => self.against.is_some(),
            Variant::Heaptrack => self.heaptrack.is_some(),
            Variant::Massif => self.valgrind.is_some(),
            _ => true,
        }
    }

    /// Starts a program in one way. It waits for its work when this returns, and its tracer is ready.
    pub(super) fn start(
        &self,
        variant: Variant,
        program: &Path,
        arguments: &[&str],
    ) -> Result<Running> {
        let mut command = match (variant, &self.valgrind) {
            (Variant::Massif, Some(valgrind)) => {
                let mut command = Command::new(valgrind);
                command.args(["-q", "--tool=massif", "--massif-out-file=/dev/null"]).arg(program);
                command
            }
            _ => Command::new(program),
        };
        command.args(arguments);
        command.env("LD_LIBRARY_PATH", self.libraries.join(format!("{variant:?}")));
        if let (Variant::Heaptrack, Some(heaptrack)) = (variant, &self.heaptrack) {
            command.env("LD_PRELOAD", heaptrack).env("DUMP_HEAPTRACK_OUTPUT", "/dev/null");
        }
        let process = Process::start(command)?;
        let tracer = self.tracer(variant).map(|(memtrace, options)| {
            attach(memtrace, process.id(), options, Path::new("/dev/null"))
        });
        Ok(Running { process, tracer: tracer.transpose()? })
    }

    /// Who attaches in a variant, and how.
    fn tracer(&self, variant: Variant) -> Option<(&Path, &'static [&'static str])> {
        let options: &[&str] = match variant {
            Variant::Untraced | Variant::Heaptrack | Variant::Massif => return None,
            Variant::Memtrace => &[],
            Variant::Floor => &["--bench", "floor"],
            Variant::OffsetZero => &["--bench", "offset-zero"],
            Variant::KernelStacks => &["--bench", "kernel-stacks"],
            Variant::TailCalls => &["--bench", "tail-calls"],
            Variant::Against => return Some((self.against.as_deref()?, &[])),
        };
        Some((&self.memtrace, options))
    }
}

/// A program and who watches it.
pub(super) struct Running {
    pub(super) process: Process,
    tracer: Option<Child>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The tracer ends with its target. It takes seconds to remove its probes, in which it only waits
        // for the kernel: there is no need to wait along.
        self.process.stop();
        if let Some(mut tracer) = self.tracer.take() {
            std::thread::spawn(move || tracer.wait());
        }
    }
}

/// Has a memtrace attach to a process and write its report into a file, and waits until it has attached.
pub(super) fn attach(memtrace: &Path, pid: u32, extra: &[&str], report: &Path) -> Result<Child> {
    let mut tracer = Command::new(memtrace)
        .args(["--pid", &pid.to_string(), "--interval", "1day", "--force", "--output"])
        .arg(report)
        .args(extra)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", memtrace.display()))?;
    let stderr = tracer.stderr.take().context("memtrace has no standard error")?;
    let mut lines = BufReader::new(stderr).lines();
    let mut said = String::new();
    for line in lines.by_ref() {
        let line = line?;
        if line.contains("attached to") {
            // What it says from here on is nobody's business, but must not fill the pipe.
            std::thread::spawn(move || lines.count());
            return Ok(tracer);
        }
        said.push_str(&line);
    }
    bail!("{} did not attach: {said}", memtrace.display())
}

/// Puts a C library of its own into a folder. Probes belong to a file, so those of one variant, or of whoever else traces on this
/// machine, would otherwise make each other's hits dearer.
fn copy_libc(folder: &Path) -> Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let mapped = maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    let is_libc = |path: &&Path| path.file_name() == Some(OsStr::new("libc.so.6"));
    let Some(libc) = mapped.into_iter().find(is_libc) else { return Ok(()) };
    fs::create_dir_all(folder)?;
    let copy = folder.join("libc.so.6");
    fs::copy(libc, &copy).with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(())
}
