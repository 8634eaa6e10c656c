//! One process, held by a descriptor so that its pid can't come to mean another.

use std::{
    fs::{self, File},
    io::Read as _,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, open},
    process::{PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid},
};

use super::{TargetError, elf};
use crate::units::Pid;

/// A running process that may be traced.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    command: Vec<String>,
}

impl Process {
    /// Looks at a process that is already running.
    ///
    /// # Errors
    ///
    /// Where there is none, it is not ours to trace, or not a kind that can be traced.
    pub fn open(pid: Pid) -> Result<Self, TargetError> {
        if !own_proc() {
            return Err(TargetError::ForeignProc);
        }
        if pid.0 == std::process::id() {
            return Err(TargetError::Ourselves { pid });
        }
        let raw = i32::try_from(pid.0).ok().and_then(rustix::process::Pid::from_raw);
        let raw = raw.ok_or(TargetError::Gone { pid })?;
        let status = procfs::process::Process::new(raw.as_raw_nonzero().get())
            .and_then(|process| process.status())
            .map_err(|_| TargetError::Gone { pid })?;
        let process = Pid(status.tgid.cast_unsigned());
        if process != pid {
            return Err(TargetError::Thread { pid, process });
        }
        let pidfd = pidfd_open(raw, PidfdFlags::empty())
            .map_err(|error| TargetError::io(pid, "pidfd_open")(error.into()))?;
        let command = command_line(pid)?;
        let process = Self { pid, pidfd, command };
        process.check_program()?;
        Ok(process)
    }

    /// Its pid.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its arguments, the program's name first, as they were when it was opened.
    pub fn command(&self) -> &[String] {
        &self.command
    }

    /// Whether it has ended (it may still be a zombie).
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
    }

    /// Whether it has ended with status 0. Only known of our own children that were not waited for yet; they can be
    /// afterwards.
    pub fn has_succeeded(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = waitid(WaitId::PidFd(self.pidfd.as_fd()), look).ok().flatten();
        ended.is_some_and(|status| status.exit_status() == Some(0))
    }

    /// Lets it go on if it was stopped. A SIGSTOP that it has not taken note of yet is taken back.
    pub fn resume(&self) {
        // It may have ended meanwhile; then there is nobody to let go.
        let _ = pidfd_send_signal(&self.pidfd, Signal::CONT);
    }

    /// A thread of it that goes on: not one that is ending, nor one that is about to be ended with the whole
    /// process. The main thread's id is the process's.
    pub fn living_thread(&self) -> Option<Pid> {
        const ENDING: u32 = 0x4; // PF_EXITING
        const KILLED: u64 = 1 << (9 - 1);
        if self.has_ended() {
            return None;
        }
        let tasks = procfs::process::Process::new(self.pid.0.cast_signed())
            .and_then(|process| process.tasks());
        let mut tasks = tasks.ok()?.filter_map(Result::ok).filter(|task| {
            task.stat().is_ok_and(|stat| stat.flags & ENDING == 0)
                && task.status().is_ok_and(|status| status.sigpnd & KILLED == 0)
        });
        tasks.next().map(|task| Pid(task.tid.cast_unsigned()))
    }

    /// Whether it has one thread alone.
    pub fn is_single_threaded(&self) -> bool {
        procfs::process::Process::new(self.pid.0.cast_signed())
            .and_then(|process| process.stat())
            .is_ok_and(|stat| stat.num_threads == 1)
    }

    /// Resident memory, bytes; `None` once it has ended.
    pub fn rss(&self) -> Option<u64> {
        let pages = fs::read_to_string(format!("/proc/{}/statm", self.pid)).ok()?;
        let pages: u64 = pages.split_ascii_whitespace().nth(1)?.parse().ok()?;
        (pages > 0).then(|| pages * rustix::param::page_size() as u64)
    }

    /// Its root directory, for reading files as it sees them.
    ///
    /// # Errors
    ///
    /// Where it has ended.
    pub fn root(&self) -> Result<OwnedFd, TargetError> {
        let path = format!("/proc/{}/root", self.pid);
        open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| TargetError::io(self.pid, "opening its root directory")(error.into()))
    }

    /// Its program's path, as it sees it.
    pub fn program(&self) -> PathBuf {
        let link = fs::read_link(format!("/proc/{}/exe", self.pid));
        link.unwrap_or_else(|_| PathBuf::from("?"))
    }

    fn check_program(&self) -> Result<(), TargetError> {
        let path = format!("/proc/{}/exe", self.pid);
        let mut header = [0; 64];
        let read = File::open(path).and_then(|mut exe| exe.read(&mut header));
        match read {
            Ok(len) if elf::is_x86_64(&header[..len]) => Ok(()),
            Ok(_) => Err(TargetError::NotX86_64 { path: self.program() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(TargetError::NoProgram { pid: self.pid })
            }
            Err(error) => Err(TargetError::io(self.pid, "reading its program")(error)),
        }
    }
}

impl AsFd for Process {
    /// Readable once the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Whether `/proc` is of our own pid namespace. With any other we would look at one process and probe another.
pub(crate) fn own_proc() -> bool {
    let own = fs::read_link("/proc/self").ok();
    own.is_some_and(|own| own.as_os_str() == std::process::id().to_string().as_str())
}

fn command_line(pid: Pid) -> Result<Vec<String>, TargetError> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline"))
        .map_err(TargetError::io(pid, "reading its command line"))?;
    let words =
        bytes.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let mut words: Vec<String> = words.collect();
    if words.last().is_some_and(String::is_empty) {
        words.pop();
    }
    Ok(words)
}
