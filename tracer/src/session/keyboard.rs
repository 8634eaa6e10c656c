//! Enter on the terminal that memtrace was started from. Used by `marks`.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{Mode, OFlags},
    process::getpgrp,
    termios::tcgetpgrp,
};
use tokio::io::unix::AsyncFd;

use super::follow::watch;

/// A terminal to read lines from. None is made where standard input is something else.
#[derive(Debug)]
pub(super) struct Keyboard {
    terminal: AsyncFd<OwnedFd>,
    /// Lines that were read and not told yet.
    pressed: usize,
}

impl Keyboard {
    /// Listens to standard input, if that is a terminal.
    pub(super) fn open() -> Option<Self> {
        if !rustix::termios::isatty(rustix::stdio::stdin()) {
            return None;
        }
        // Not standard input's own descriptor: the shell has that, too, and it must not stop to wait in reads.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = rustix::fs::open("/proc/self/fd/0", flags, Mode::empty());
        match opened.map(watch) {
            Ok(Ok(terminal)) => Some(Self { terminal, pressed: 0 }),
            Ok(Err(error)) => {
                tracing::debug!("Enter makes no marks: {error}");
                None
            }
            Err(error) => {
                tracing::debug!("Enter makes no marks: the terminal can't be opened: {error}");
                None
            }
        }
    }

    /// Waits until Enter was pressed. Can be cancelled at any time. For ever, once the terminal's input has ended.
    pub(super) async fn enter(&mut self) {
        let mut bytes = [0; 256];
        while self.pressed == 0 {
            let Ok(mut ready) = self.terminal.readable().await else {
                return std::future::pending().await;
            };
            if !in_foreground(self.terminal.get_ref()) {
                ready.clear_ready(); // what is typed now is the shell's; reading it would stop us
                continue;
            }
            match rustix::io::read(self.terminal.get_ref(), &mut bytes) {
                Ok(0) => return std::future::pending().await,
                Ok(read) => {
                    let ends = bytes[..read].iter().filter(|byte| matches!(byte, b'\n' | b'\r'));
                    self.pressed += ends.count();
                }
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return std::future::pending().await,
            }
        }
        self.pressed -= 1;
    }
}

/// Whether keys are ours to read. A terminal that controls no jobs has no foreground.
fn in_foreground(terminal: &OwnedFd) -> bool {
    tcgetpgrp(terminal).map_or(true, |group| group == getpgrp())
}
