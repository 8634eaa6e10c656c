//! Starting a command so that nothing it allocates is missed.
//!
//! The child is held from its `execve` to the first instruction of the program itself, by `ptrace`: at each
//! system call that maps code, the caller gets the chance to set probes, before any of that code has run.
//! At the program's entry point the child is let go, and is traced by nobody from then on: debuggers and
//! signals work as always.

use std::{
    ffi::OsString,
    io,
    mem::offset_of,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        prctl, ptrace,
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd,
};

use super::{Identity, TargetError};
use crate::units::Pid;

/// A command that has executed its program and waits for us.
#[derive(Debug)]
pub struct Held {
    child: Child,
    entry: u64,
}

/// A command on its way.
#[derive(Debug)]
pub struct Launched {
    /// The child process.
    pub child: Child,
    /// How it ended, if it did so before its program's first instruction (a constructor called `exit`).
    pub ended: Option<WaitStatus>,
}

/// Where a held command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has only its program and the dynamic linker.
    Executed,
    /// It mapped something executable.
    Mapped,
    /// All libraries that it was linked with are there; the program itself is next.
    AtEntry,
}

impl Held {
    /// Starts a command and stops it before its first instruction. It has our environment, but for what `identity` and
    /// then `environment` set.
    ///
    /// # Errors
    ///
    /// Where the command does not exist or can't be executed.
    pub fn start(
        command: &[OsString],
        identity: Option<&Identity>,
        environment: &[(&str, OsString)],
    ) -> Result<Self, TargetError> {
        let mut builder = Command::new(&command[0]);
        builder.args(&command[1..]);
        let identity = identity.cloned();
        if let Some(identity) = &identity {
            builder.envs(identity.environment.iter().map(|(name, value)| (name, value)));
        }
        builder.envs(environment.iter().map(|(name, value)| (name, value)));
        let before_exec = move || -> io::Result<()> {
            if let Some(identity) = &identity {
                unistd::setgroups(&identity.groups)?;
                unistd::setgid(identity.gid)?;
                unistd::setuid(identity.uid)?;
            }
            // Whoever was stopped until we have caught up goes on when we are killed. Changing the user takes this back, so it
            // comes after.
            prctl::set_pdeathsig(Signal::SIGCONT)?;
            ptrace::traceme()?;
            Ok(())
        };
        // SAFETY: between fork and exec only system calls are made, on memory prepared before.
        unsafe { builder.pre_exec(before_exec) };
        let child = builder.spawn().map_err(|source| {
            let command = PathBuf::from(&command[0]);
            match source.kind() {
                io::ErrorKind::NotFound => TargetError::CommandNotFound { command },
                _ => TargetError::CommandNotExecutable { command, source },
            }
        })?;
        let mut held = Self { child, entry: 0 };
        held.wait_for_exec().inspect_err(|_| held.kill())?;
        Ok(held)
    }

    /// The child's pid.
    pub fn pid(&self) -> Pid {
        Pid(self.child.id())
    }

    /// Lets the child run to its program's entry point. `at` is called, with the child stopped, each time that
    /// probes may have to be set.
    ///
    /// # Errors
    ///
    /// What `at` returns; then, and where `ptrace` fails, the child is ended, for it was never let go.
    pub fn run_to_entry<E: From<TargetError>>(
        mut self,
        mut at: impl FnMut(Progress) -> Result<(), E>,
    ) -> Result<Launched, E> {
        match self.steps(&mut at) {
            Ok(ended) => Ok(Launched { child: self.child, ended }),
            Err(error) => {
                self.kill();
                Err(error)
            }
        }
    }

    fn steps<E: From<TargetError>>(
        &mut self,
        at: &mut impl FnMut(Progress) -> Result<(), E>,
    ) -> Result<Option<WaitStatus>, E> {
        at(Progress::Executed)?;
        self.break_at_entry().map_err(|error| self.error("setting a breakpoint", error))?;
        let pid = self.raw();
        let mut signal = None;
        loop {
            ptrace::syscall(pid, signal.take()).map_err(|error| self.error("ptrace", error))?;
            match waitpid(pid, None).map_err(|error| self.error("waiting", error))? {
                WaitStatus::PtraceSyscall(_)
                    if self.has_mapped_code().map_err(|error| self.error("ptrace", error))? =>
                {
                    at(Progress::Mapped)?;
                }
                // A constructor replaced the image: everything begins again, debug registers included.
                WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => {
                    self.entry = self.auxiliary_entry()?;
                    at(Progress::Executed)?;
                    self.break_at_entry()
                        .map_err(|error| self.error("setting a breakpoint", error))?;
                }
                WaitStatus::Stopped(_, Signal::SIGTRAP) if self.is_at_entry() => break,
                WaitStatus::Stopped(_, other) => signal = Some(other),
                status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => {
                    return Ok(Some(status));
                }
                _ => {}
            }
        }
        at(Progress::AtEntry)?;
        self.clear_breakpoint().map_err(|error| self.error("clearing the breakpoint", error))?;
        ptrace::detach(pid, None).map_err(|error| self.error("letting it go", error))?;
        Ok(None)
    }

    fn wait_for_exec(&mut self) -> Result<(), TargetError> {
        let pid = self.raw();
        let status = waitpid(pid, None).map_err(|error| self.error("waiting", error))?;
        if !matches!(status, WaitStatus::Stopped(_, Signal::SIGTRAP)) {
            let source = io::Error::other(format!("unexpected state {status:?}"));
            return Err(TargetError::Io { pid: self.pid(), action: "starting", source });
        }
        ptrace::setoptions(
            pid,
            ptrace::Options::PTRACE_O_TRACESYSGOOD
                | ptrace::Options::PTRACE_O_TRACEEXEC
                | ptrace::Options::PTRACE_O_EXITKILL,
        )
        .map_err(|error| self.error("ptrace", error))?;
        self.entry = self.auxiliary_entry()?;
        Ok(())
    }

    /// `AT_ENTRY`: the program's first instruction, wherever it was loaded.
    fn auxiliary_entry(&self) -> Result<u64, TargetError> {
        procfs::process::Process::new(self.pid().0.cast_signed())
            .and_then(|process| process.auxv())
            .ok()
            .and_then(|auxv| auxv.get(&libc::AT_ENTRY).copied())
            .ok_or_else(|| {
                let source = io::Error::other("no AT_ENTRY in its auxiliary vector");
                TargetError::Io { pid: self.pid(), action: "finding its entry point", source }
            })
    }

    /// Whether the child stands after an `mmap` or `mprotect` that made something executable.
    fn has_mapped_code(&self) -> Result<bool, Errno> {
        let registers = ptrace::getregs(self.raw())?;
        let number = registers.orig_rax.cast_signed();
        let maps = number == libc::SYS_mmap || number == libc::SYS_mprotect;
        let executable = registers.rdx & libc::PROT_EXEC as u64 != 0;
        let failed = registers.rax.cast_signed() < 0; // also before the call: -ENOSYS
        Ok(maps && executable && !failed)
    }

    fn is_at_entry(&self) -> bool {
        ptrace::getregs(self.raw()).is_ok_and(|registers| registers.rip == self.entry)
    }

    /// A breakpoint in a debug register: no byte of the program is changed.
    fn break_at_entry(&self) -> Result<(), Errno> {
        const EXECUTE_LOCAL_0: i64 = 1;
        self.write_debug_register(0, self.entry.cast_signed())?;
        self.write_debug_register(7, EXECUTE_LOCAL_0)
    }

    fn clear_breakpoint(&self) -> Result<(), Errno> {
        self.write_debug_register(7, 0)?;
        self.write_debug_register(0, 0)
    }

    fn write_debug_register(&self, number: usize, value: i64) -> Result<(), Errno> {
        let offset = offset_of!(libc::user, u_debugreg) + number * size_of::<u64>();
        ptrace::write_user(self.raw(), offset as ptrace::AddressType, value)
    }

    fn error(&self, action: &'static str, errno: Errno) -> TargetError {
        TargetError::Io { pid: self.pid(), action, source: errno.into() }
    }

    fn raw(&self) -> unistd::Pid {
        unistd::Pid::from_raw(self.child.id().cast_signed())
    }

    /// Ends a child that has not run its program yet.
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
