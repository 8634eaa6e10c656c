//! Whether what is known of a version fits the running interpreter: nothing is walked before it was seen to.

use std::collections::BTreeSet;

use tracer_common::{PYTHON_BYTES, PythonConfig};

use super::{
    Memory,
    chain::Chain,
    layout::Layout,
    places::Places,
    threads::{self, ThreadState},
};
use crate::units::Pid;

/// How often threads are looked at. They may go on meanwhile, so that what is read does not fit together.
const ATTEMPTS: usize = 50;
/// What is wrong where no thread of the process is known to the interpreter.
const THREAD_IDS: &str = "thread ids";
/// `PyObject`: its type.
const TYPE: u64 = 8;
/// `PyTypeObject`: its name, and how large its objects are.
const TYPE_NAME: u64 = 24;
const TYPE_SIZE: u64 = 32;
/// Longer than the names that are looked at.
const NAME: usize = 8;

/// Whether code objects, texts and bytes are as large as they ought to be. `Err` names what isn't.
pub(super) fn types(memory: &Memory, places: &Places, layout: &Layout) -> Result<(), &'static str> {
    let is = |address: u64, name: &[u8], size: u32| {
        let found =
            memory.u64(address.wrapping_add(TYPE_NAME)).and_then(|at| memory.array::<NAME>(at));
        found.is_some_and(|found| found.starts_with(name))
            && memory.u64(address.wrapping_add(TYPE_SIZE)) == Some(size.into())
    };
    if !is(places.code_type, b"code\0", layout.code.size) {
        return Err("code objects");
    }
    if !is(places.text_type, b"str\0", layout.text.size) {
        return Err("texts");
    }
    if !is(places.bytes_type, b"bytes\0", PYTHON_BYTES as u32 + 1) {
        return Err("bytes");
    }
    Ok(())
}

/// Whether threads are where they ought to be, and lead to frames. `Err` names what isn't so at any of several looks.
pub(super) fn threads(
    pid: Pid,
    memory: &Memory,
    places: &Places,
    layout: &Layout,
    config: &PythonConfig,
) -> Result<(), &'static str> {
    let (mut tasks, mut wrong) = (tasks_of(pid), "list of threads");
    for _ in 0..ATTEMPTS {
        let Some(threads) = threads::all(memory, layout, places.head) else { continue };
        match look(memory, places, config, &threads, &tasks) {
            Ok(()) => return Ok(()),
            Err(what) => wrong = what,
        }
        if wrong == THREAD_IDS {
            tasks = tasks_of(pid);
        }
    }
    Err(wrong)
}

fn look(
    memory: &Memory,
    places: &Places,
    config: &PythonConfig,
    threads: &[ThreadState],
    tasks: &BTreeSet<u64>,
) -> Result<(), &'static str> {
    // Of a thread that ended without a word there may be a state left.
    let is_alive = |state: &ThreadState| config.thread_id == 0 || tasks.contains(&state.id);
    let mut alive = own_states(memory, config, threads)?;
    alive.retain(is_alive);
    if alive.is_empty() {
        return Err(THREAD_IDS);
    }
    let mut idle = true;
    for state in alive {
        // A thread that runs on may be read in between; one that doesn't proves enough.
        match Chain::read(memory, config, state.address) {
            Some(chain) if chain.frames.is_empty() => {}
            Some(chain) if is_sane(memory, places, config, &chain) => return Ok(()),
            Some(_) | None => idle = false,
        }
    }
    if idle { Ok(()) } else { Err("frames") }
}

/// The states that their threads have as their own. A thread may have several, of subinterpreters, and one that is just
/// starting or has ended has none.
fn own_states(
    memory: &Memory,
    config: &PythonConfig,
    threads: &[ThreadState],
) -> Result<Vec<ThreadState>, &'static str> {
    let mut own = Vec::new();
    for state in threads.iter().filter(|state| state.thread != 0) {
        match memory.u64(state.thread.wrapping_add(config.thread_state)) {
            None | Some(0) => {}
            Some(address) if address == state.address => own.push(*state),
            Some(address) => {
                let is_other =
                    |it: &ThreadState| (it.address, it.thread) == (address, state.thread);
                if !threads.iter().any(is_other) {
                    return Err("thread-specific data");
                }
            }
        }
    }
    if own.is_empty() { Err("thread-specific data") } else { Ok(own) }
}

/// Whether frames have code, and what has none is the interpreter's own.
fn is_sane(memory: &Memory, places: &Places, config: &PythonConfig, chain: &Chain) -> bool {
    let is_code = |at: u64| memory.u64(at.wrapping_add(TYPE)) == Some(places.code_type);
    chain.frames.iter().all(|frame| is_code(frame.code))
        && chain.shims.iter().all(|code| *code == config.none || is_code(*code))
}

/// The ids of the process's threads, as it knows them itself.
fn tasks_of(pid: Pid) -> BTreeSet<u64> {
    let process = procfs::process::Process::new(pid.0.cast_signed());
    let tasks = process.and_then(|process| process.tasks()).into_iter().flatten().flatten();
    let id = |task: procfs::process::Task| {
        let namespaced = task.status().ok()?.nspid.and_then(|ids| ids.last().copied());
        Some(namespaced.unwrap_or(task.tid).cast_unsigned().into())
    };
    tasks.filter_map(id).collect()
}
