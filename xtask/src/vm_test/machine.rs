//! Starting a kernel in an emulator, and waiting until it has switched itself off.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A machine that takes longer hangs: on a busy computer one took 200 s.
const LIMIT: Duration = Duration::from_mins(8);

const EMULATOR: &str = "qemu-system-x86_64";

/// The kernel switches tasks wherever it can, also in the middle of our programs: the strictest setting.
const PREEMPTION: &str = "preempt=full";

/// What a machine left.
pub(super) struct Run {
    /// What kernel and script said to whom it may concern.
    pub console: String,
    /// What the script sent to us.
    pub results: String,
    /// From start to end.
    pub took: Duration,
}

/// Starts `kernel` with `image` as its file system. `environment` is the script's, as `NAME=value`.
///
/// The processor is emulated, so this needs no privilege and runs inside of virtual machines, too. There is no network.
pub(super) fn boot(kernel: &Path, image: &Path, environment: &str, folder: &Path) -> Result<Run> {
    let (console, results) = (folder.join("console.txt"), folder.join("results.txt"));
    let mut command = Command::new(EMULATOR);
    command
        .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-m", "2G", "-smp", "2"])
        .args(["-no-reboot", "-display", "none", "-monitor", "none", "-nic", "none"])
        .args(["-serial", &format!("file:{}", console.display())])
        .args(["-serial", &format!("file:{}", results.display())])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(image)
        // What the kernel doesn't know it hands to the first process.
        .args(["-append", &format!("console=ttyS0 panic=-1 quiet {PREEMPTION} {environment}")])
        .stdin(Stdio::null());
    let start = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot start {EMULATOR}"))?;
    let ended = Machine(child).wait();
    let text = |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let (console, results) = (text(console)?, text(results)?);
    ended.with_context(|| format!("the console:\n{console}"))?;
    Ok(Run { console, results, took: start.elapsed() })
}

/// A running machine. It ends with this value at the latest.
struct Machine(Child);

impl Machine {
    fn wait(mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                if !status.success() {
                    bail!("{EMULATOR} failed: {status}");
                }
                return Ok(());
            }
            if start.elapsed() > LIMIT {
                bail!("the machine did not end within {} s", LIMIT.as_secs());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Either may fail only because the machine has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
