//! The thread states of an interpreter, from its own lists.

use super::{Memory, layout::Layout};

/// Interpreters of a process, and threads of all of them, that are looked at.
const MAX_INTERPRETERS: usize = 256;
const MAX_THREADS: usize = 16_384;

/// A `PyThreadState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThreadState {
    pub(super) address: u64,
    /// What `pthread_self` returns to it, which with glibc is its thread pointer; 0 where no thread has taken it yet.
    pub(super) thread: u64,
    /// The kernel's id of it, in the innermost pid namespace; 0 where it is not kept (3.10), or not set yet.
    pub(super) id: u64,
}

/// All of them; `None` where the lists lead astray, as they also may while they are being changed.
pub(super) fn all(memory: &Memory, layout: &Layout, head: u64) -> Option<Vec<ThreadState>> {
    let mut threads = Vec::new();
    for interpreter in interpreters(memory, layout, head)? {
        let first = memory.u64(interpreter.wrapping_add(layout.interpreter.threads.into()))?;
        add(&mut threads, memory, layout, interpreter, first)?;
    }
    Some(threads)
}

/// The addresses of the `PyInterpreterState`s; `None` as above.
pub(super) fn interpreters(memory: &Memory, layout: &Layout, head: u64) -> Option<Vec<u64>> {
    let mut interpreters = Vec::new();
    let mut interpreter = memory.u64(head)?;
    while interpreter != 0 && interpreters.len() < MAX_INTERPRETERS {
        interpreters.push(interpreter);
        interpreter = memory.u64(interpreter.wrapping_add(layout.interpreter.next.into()))?;
    }
    Some(interpreters)
}

fn add(
    threads: &mut Vec<ThreadState>,
    memory: &Memory,
    layout: &Layout,
    interpreter: u64,
    first: u64,
) -> Option<()> {
    let mut address = first;
    while address != 0 && threads.len() < MAX_THREADS {
        let word = |at: u32| memory.u64(address.wrapping_add(at.into()));
        if word(layout.thread.interpreter)? != interpreter {
            return None;
        }
        let id = match layout.thread.native_id {
            0 => 0,
            at => word(at)?,
        };
        threads.push(ThreadState { address, thread: word(layout.thread.id)?, id });
        address = word(layout.thread.next)?;
    }
    Some(())
}
