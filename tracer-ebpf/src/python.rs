//! Python's frames: found in the interpreter's own records, before the native walk, and placed in it by address.
//!
//! The thread is in our hands, so its chain of frames can't change. Each run of them, which one call of the interpreter's
//! evaluation function works on, ends with something that this call keeps on the C stack: its address, the run's *anchor*,
//! lies within that call's native frame.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::{
        bpf_get_current_task, bpf_probe_read_kernel, bpf_probe_read_user, generated::bpf_loop,
    },
    macros::map,
    maps::Array,
};
use tracer_common::{
    EventHeader, EventKind, FrameWord, PythonConfig, PythonEnd, PythonEvent, PythonHash,
    PythonPass, PythonWalk, RuleCache, Space, StackHash, StackId, ThreadState,
    limits::{MAX_FRAMES, MAX_PYTHON_FRAMES, MAX_PYTHON_RUNS},
};

use crate::{
    control, process, python_code, python_copy,
    python_frame::{self, Structure},
    stack::EVENTS,
    walk::push,
};

/// Frames that are looked at. Of those beyond what is kept only the end of their run is searched.
const MOST_LOOKS: u32 = 2048;
/// No anchor lies there.
const NO_ANCHOR: u64 = u64::MAX;
/// No frame lies there.
const NO_FRAME: u64 = u64::MAX;
/// What the kernel calls "stop this loop".
const STOP: i64 = 1;
const GO_ON: i64 = 0;

#[map]
pub static PYTHON: Array<PythonConfig> = Array::with_max_entries(1, 0);

/// What each step needs.
struct Context {
    thread: *mut ThreadState,
    config: *const PythonConfig,
    codes: *mut RuleCache,
}

/// Takes down the Python frames that `thread` is in, if an interpreter is known. Costs one look-up where none is. Uses the
/// thread's window. `sp` is the stack pointer after the call.
#[inline(always)]
pub fn pass(thread: *mut ThreadState, space: Space, sp: u64) {
    // SAFETY: `thread` points to a map value that belongs to this thread alone.
    unsafe {
        (*thread).python.sp = sp;
        (*thread).python_stack.runs_len = 0;
        (*thread).python.anchors = 0;
        (*thread).python.tells = 0;
    }
    let Some(config) = PYTHON.get_ptr(0) else { return };
    // SAFETY: points to an element of the map. User space writes `walk` last.
    let known = unsafe {
        (&raw const (*config).walk).read_volatile() != PythonWalk::None as u32
            && (&raw const (*config).space).read_volatile() == space.0
    };
    if known {
        follow(thread, config);
    }
}

/// The id of a stack whose native frames have the id `native`.
#[inline(always)]
pub fn name(thread: *const ThreadState, native: StackId) -> StackId {
    // SAFETY: as above.
    let python = unsafe { &(*thread).python };
    if python.tells == 0 { native } else { PythonHash(python.hash).finish(native, python.end) }
}

/// Sends what belongs to a stack, if there is anything, and the code objects that are new. `false` where there was no room.
/// Uses the thread's window.
#[inline(always)]
pub fn send(thread: *mut ThreadState, id: StackId, space: Space) -> bool {
    // SAFETY: as above.
    let (event, len) = unsafe {
        // The second is a constant: where the kernel has no loops, its verifier sees that what follows is never reached.
        if (*thread).python.tells == 0 || control::thread_pointer() == 0 {
            return true;
        }
        if !python_copy::send(thread, space) {
            return false;
        }
        let event = &raw mut (*thread).python_stack;
        (*event).header = EventHeader { kind: EventKind::PythonStack as u32, space };
        (*event).stack = id;
        (*event).end = (*thread).python.end;
        (event, (*event).len as usize)
    };
    if len > MAX_PYTHON_FRAMES {
        return false;
    }
    let bytes = PythonEvent::HEAD + len * python_frame::FRAME_BYTES;
    // SAFETY: `bytes` is at most the event's size.
    let event = unsafe { core::slice::from_raw_parts(event.cast::<u8>(), bytes) };
    EVENTS.output::<[u8]>(event, 0).is_ok()
}

/// The native walk begins.
#[inline(always)]
pub fn first_run(thread: *mut ThreadState) {
    // SAFETY: as above.
    unsafe {
        (*thread).walk.run = 0;
        (*thread).walk.anchor = if (*thread).python_stack.runs_len == 0 {
            NO_ANCHOR
        } else {
            (*thread).python_stack.anchors[0]
        };
    }
}

/// Notes after the present native frame, which ends at `cfa`, the run that belongs there. One whose anchor lies below the
/// frame was missed: the walk jumped over its frame.
#[inline(never)]
pub fn place_runs(thread: *mut ThreadState, cfa: u64) {
    let mut context = Placing { thread, cfa };
    // SAFETY: the callback gets the context that is passed here, which outlives the call.
    unsafe {
        bpf_loop(
            MAX_PYTHON_RUNS as u32,
            place as *const () as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
    }
}

struct Placing {
    thread: *mut ThreadState,
    cfa: u64,
}

unsafe extern "C" fn place(_number: u64, context: *mut Placing) -> i64 {
    // SAFETY: the caller passes one.
    let &Placing { thread, cfa } = unsafe { &*context };
    // SAFETY: `thread` points to a map value that belongs to this thread alone.
    let walk = unsafe { &mut (*thread).walk };
    if walk.anchor >= cfa || walk.len >= MAX_FRAMES as u32 {
        return STOP;
    }
    if walk.anchor >= walk.sp {
        push(thread, FrameWord::python_run(walk.run));
    }
    walk.run += 1;
    // SAFETY: as above.
    walk.anchor = if walk.run < unsafe { (*thread).python_stack.runs_len } {
        python_frame::anchor(thread, walk.run.into())
    } else {
        NO_ANCHOR
    };
    GO_ON
}

#[inline(never)]
fn follow(thread: *mut ThreadState, config: *const PythonConfig) {
    // SAFETY: as above.
    unsafe {
        (*thread).python_stack.len = 0;
        (*thread).python.hash = PythonHash::NEW.0;
    }
    let end = match begin(thread, config) {
        Ok(()) => walk(thread, config),
        Err(end) => end as u32,
    };
    // SAFETY: as above.
    unsafe {
        let found = (*thread).python_stack.len != 0 || (*thread).python_stack.runs_len != 0;
        (*thread).python.end = end;
        (*thread).python.tells = u32::from(found || end > PythonEnd::NoThreadState as u32);
    }
}

/// Follows the chain from the innermost frame outwards. Gives how it ended.
#[inline(always)]
fn walk(thread: *mut ThreadState, config: *const PythonConfig) -> u32 {
    let Some(codes) = python_code::cache() else { return PythonEnd::Truncated as u32 };
    let mut context = Context { thread, config, codes };
    // SAFETY: the callback gets the context that is passed here, which outlives the call; `thread` as above.
    unsafe {
        (*thread).python.end = PythonEnd::Outermost as u32;
        let step = step as *const () as *mut c_void;
        bpf_loop(MOST_LOOKS, step, (&raw mut context).cast(), 0);
        if (*thread).python.end == PythonEnd::Outermost as u32 && (*thread).python.frame != 0 {
            return PythonEnd::Truncated as u32;
        }
        (*thread).python.end
    }
}

/// Finds the innermost frame.
#[inline(always)]
fn begin(thread: *mut ThreadState, config: *const PythonConfig) -> Result<(), PythonEnd> {
    // SAFETY: as above; `config` points to an element of a map.
    let (python, config) = unsafe { (&mut (*thread).python, &*config) };
    let pointer = thread_pointer(python, config.space)?;
    let state = word(pointer.wrapping_add(config.thread_state))?;
    if state == 0 {
        return Err(PythonEnd::NoThreadState);
    }
    let state = Structure::alone(thread, state, python_frame::state_bytes(config));
    let state = state.ok_or(PythonEnd::ReadFault)?;
    if config.thread_id != 0 {
        if python.thread_id == 0 {
            python.thread_id = process::own_ids().map_or(0, |ids| ids.pid);
        }
        // In a child that shares the memory (`vfork`) the state is the parent's.
        if state.word(config.thread_id) != u64::from(python.thread_id) {
            return Err(PythonEnd::OtherThread);
        }
    }
    python.cframe = if config.cframe == 0 { 0 } else { state.word(config.cframe) };
    python.frame = if config.frame != 0 {
        state.word(config.frame)
    } else if python.cframe != 0 {
        word(python.cframe.wrapping_add(config.cframe_frame.into()))?
    } else {
        0
    };
    python.frame_bytes = python_frame::frame_bytes(config);
    python.valid = 0;
    (python.floor, python.lowest) = (python.lowest, NO_FRAME);
    python.generation = python_code::generation();
    Ok(())
}

/// The thread pointer, which a thread has all its life in an address space.
#[inline(always)]
fn thread_pointer(python: &mut PythonPass, space: u32) -> Result<u64, PythonEnd> {
    if python.pointer != 0 && python.pointer_space == space {
        return Ok(python.pointer);
    }
    let at = control::thread_pointer();
    if at == 0 {
        return Err(PythonEnd::NoThreadState);
    }
    // SAFETY: reads the kernel's memory through the helper, which checks the address.
    let pointer = unsafe {
        let task = bpf_get_current_task();
        bpf_probe_read_kernel(task.wrapping_add(at) as *const u64)
    };
    let pointer = pointer.map_err(|_| PythonEnd::ReadFault)?;
    (python.pointer, python.pointer_space) = (pointer, space);
    Ok(pointer)
}

/// One frame, as `bpf_loop` wants it.
unsafe extern "C" fn step(_number: u64, context: *mut Context) -> i64 {
    // The frame is the interpreter's, and its code is none of Python's.
    const OWNER_C_STACK: u8 = 3;
    const IS_ENTRY: u8 = 1;
    // SAFETY: the caller passes one.
    let &Context { thread, config, codes } = unsafe { &*context };
    // SAFETY: as above.
    let (python, config) = unsafe { (&mut (*thread).python, &*config) };
    let at = python.frame;
    if at == 0 {
        return STOP;
    }
    // In 3.10 frames are objects by themselves, later they mostly lie one above the other.
    let alone = config.walk == PythonWalk::Each as u32;
    let Some(memory) = Structure::frame_at(thread, at, alone) else {
        python.end = PythonEnd::ReadFault as u32;
        return STOP;
    };
    python.frame = memory.word(config.previous);
    let owner = memory.byte(config.owner);
    if config.walk == PythonWalk::Shim as u32 {
        return if owner == OWNER_C_STACK {
            end_run(thread, at)
        } else {
            keep(thread, config, codes, &memory)
        };
    }
    let kept = keep(thread, config, codes, &memory);
    if config.walk == PythonWalk::Entry as u32 && owner != IS_ENTRY {
        return kept;
    }
    let cframe = python.cframe;
    python.cframe = word(cframe.wrapping_add(config.cframe_previous.into())).unwrap_or(0);
    let ended = end_run(thread, cframe);
    kept | ended
}

/// Adds the frame in the window.
#[inline(always)]
fn keep(
    thread: *mut ThreadState,
    config: &PythonConfig,
    codes: *mut RuleCache,
    memory: &Structure,
) -> i64 {
    let code = memory.word(config.code);
    if code == 0 || code == config.none {
        return GO_ON;
    }
    // SAFETY: as above.
    let (python, event) = unsafe { (&mut (*thread).python, &raw mut (*thread).python_stack) };
    // SAFETY: as above.
    let (len, runs) = unsafe { ((*event).len, (*event).runs_len) };
    if len >= MAX_PYTHON_FRAMES as u32 {
        python.end = PythonEnd::Truncated as u32;
        // Where the run ends is still of use: what is kept of it belongs there.
        return if runs >= MAX_PYTHON_RUNS as u32 { STOP } else { GO_ON };
    }
    let frame = memory.frame(code, config, codes);
    python_frame::set_frame(thread, len.into(), frame);
    // SAFETY: as above.
    unsafe { (*event).len = len + 1 };
    python.hash = PythonHash(python.hash).with(frame).0;
    GO_ON
}

/// The run ends with the frames that were found so far.
#[inline(always)]
fn end_run(thread: *mut ThreadState, anchor: u64) -> i64 {
    // SAFETY: as above.
    let (python, event) = unsafe { (&mut (*thread).python, &raw mut (*thread).python_stack) };
    // SAFETY: as above.
    let (len, runs) = unsafe { ((*event).len, (*event).runs_len) };
    if runs >= MAX_PYTHON_RUNS as u32 {
        python.end = PythonEnd::Truncated as u32;
        return GO_ON;
    }
    python_frame::set_run(thread, runs.into(), len, anchor);
    // SAFETY: as above.
    unsafe { (*event).runs_len = runs + 1 };
    python.hash = PythonHash(python.hash).with_run_end().0;
    python.anchors = StackHash(python.anchors).with(anchor).0;
    if python.end == PythonEnd::Truncated as u32 && len >= MAX_PYTHON_FRAMES as u32 {
        return STOP;
    }
    GO_ON
}

/// A word of the target's memory.
#[inline(always)]
fn word(address: u64) -> Result<u64, PythonEnd> {
    // SAFETY: reads the target's memory through the helper, which checks the address.
    unsafe { bpf_probe_read_user(address as *const u64) }.map_err(|_| PythonEnd::ReadFault)
}
