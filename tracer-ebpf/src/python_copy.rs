//! Code objects of Python's, copied as their frames are first told of: the program may free them before user space can read
//! them. The thread that runs them is in our hands, and its frames hold them.

use core::{ffi::c_void, mem::offset_of};

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    helpers::{
        bpf_probe_read_user as read,
        generated::{bpf_loop, bpf_probe_read_user},
    },
    macros::map,
    maps::HashMap,
};
use tracer_common::{
    EventHeader, EventKind, PYTHON_BYTES, PYTHON_CODE_BYTES, PYTHON_LENGTH, PYTHON_TEXT,
    PythonCodeEvent, PythonCodeKey, PythonConfig, PythonFrame, PythonText, PythonWalk, Space,
    ThreadState,
    limits::{
        MAX_PYTHON_CODES, MAX_PYTHON_FILE, MAX_PYTHON_FRAMES, MAX_PYTHON_LINES, MAX_PYTHON_NAME,
    },
};

use crate::{
    python::PYTHON,
    python_frame::bounded,
    stack::{self, EVENTS},
};

/// What the kernel calls "stop this loop".
const STOP: i64 = 1;
const GO_ON: i64 = 0;
const WORD: u64 = size_of::<u64>() as u64;
/// Bytes up to which objects begin, and those of one: masks.
const MOST_BEFORE: u64 = 1023;
const MOST_BYTES: u64 = 4095;

/// Code objects that user space has.
#[map]
static KNOWN_CODE: HashMap<PythonCodeKey, u32> =
    HashMap::with_max_entries(MAX_PYTHON_CODES, BPF_F_NO_PREALLOC);

struct Sending {
    thread: *mut ThreadState,
    config: *const PythonConfig,
    space: Space,
    /// 1 where there was no room.
    full: u32,
}

/// Sends the code objects of the thread's Python frames that user space has not. `false` where there was no room for one.
/// Uses the thread's window.
#[inline(never)]
pub fn send(thread: *mut ThreadState, space: Space) -> bool {
    let Some(config) = PYTHON.get_ptr(0) else { return true };
    // SAFETY: points to an element of the map.
    if unsafe { (&raw const (*config).walk).read_volatile() } == PythonWalk::None as u32 {
        return true;
    }
    let mut context = Sending { thread, config, space, full: 0 };
    // SAFETY: the callback gets the context that is passed here, which outlives the call.
    unsafe {
        bpf_loop(
            MAX_PYTHON_FRAMES as u32,
            send_next as *const () as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
        // What is in the window now is no stack.
        (*thread).walk.end = 0;
        (&raw const context.full).read_volatile() == 0
    }
}

/// The code object of one frame, as `bpf_loop` wants it.
unsafe extern "C" fn send_next(number: u64, context: *mut Sending) -> i64 {
    // SAFETY: the caller passes one.
    let &Sending { thread, config, space, .. } = unsafe { &*context };
    // SAFETY: `thread` points to a map value that belongs to this thread alone; the index is masked.
    let frame = unsafe {
        if number >= u64::from((*thread).python_stack.len) {
            return STOP;
        }
        let number = bounded::<{ MAX_PYTHON_FRAMES as u64 - 1 }>(number) as usize;
        let frames = (&raw const (*thread).python_stack.frames).cast::<PythonFrame>();
        frames.add(number).read_volatile()
    };
    if frame.checksum == 0 {
        return GO_ON; // it can't be read
    }
    let key = PythonCodeKey { code: frame.code, checksum: frame.checksum, space };
    if KNOWN_CODE.get_ptr(key).is_some() {
        return GO_ON;
    }
    let copy = Copy { thread };
    // SAFETY: `config` points to an element of the map.
    let Some(bytes) = copy.fill(&key, unsafe { &*config }) else { return GO_ON };
    // SAFETY: `context` as above.
    unsafe {
        if !stack::has_room() || !copy.output(bytes) {
            (*context).full = 1;
            return STOP;
        }
    }
    // Where the set is full, the code object goes out again with each new stack, which harms nobody.
    let _ = KNOWN_CODE.insert(key, 1, 0);
    GO_ON
}

/// The event in the making, in the thread's window.
struct Copy {
    thread: *mut ThreadState,
}

impl Copy {
    /// Puts it together; its length, or `None` where the code object can't be read.
    #[inline(always)]
    fn fill(&self, key: &PythonCodeKey, config: &PythonConfig) -> Option<u64> {
        const HEAD: u64 = PythonCodeEvent::HEAD as u64;
        let event = self.event();
        // SAFETY: the window is larger than the event; the helper checks the address that it reads from.
        unsafe {
            (*event).header = EventHeader { kind: EventKind::PythonCode as u32, space: key.space };
            (*event).code = key.code;
            (*event).checksum = key.checksum;
            let head = (&raw mut (*event).head).cast::<c_void>();
            let from = key.code as *const c_void;
            if bpf_probe_read_user(head, PYTHON_CODE_BYTES as u32, from) != 0 {
                return None;
            }
            let file = self.text(HEAD, config.file, MAX_PYTHON_FILE, config);
            (*event).file_len = file as u32;
            let at = HEAD + whole_words(file);
            let name = self.text(at, config.name, MAX_PYTHON_NAME, config);
            (*event).name_len = name as u32;
            let at = at + whole_words(name);
            let lines = self.lines(at, config);
            (*event).lines_len = lines as u32;
            Some(at + whole_words(lines))
        }
    }

    /// Copies the `str` that the code object has at `member` to `at`. Gives how many bytes it has; 0 where there are more than
    /// `most`, or it can't be read.
    #[inline(always)]
    fn text(&self, at: u64, member: u32, most: usize, config: &PythonConfig) -> u64 {
        let text = self.member(member);
        // SAFETY: reads the target's memory through the helper, which checks the address.
        let found = unsafe {
            (
                read(text.wrapping_add(PYTHON_LENGTH) as *const u64),
                read(text.wrapping_add(PYTHON_TEXT) as *const u32),
            )
        };
        let (Ok(len), Ok(state)) = found else { return 0 };
        let state = PythonText(state);
        let before = if state.is_ascii() { config.ascii } else { config.compact };
        if !state.is_compact() || len > most as u64 {
            return 0;
        }
        self.copy(at, text, u64::from(before) + len * state.width(), most)
    }

    /// As [`Self::text`], of the line table.
    #[inline(always)]
    fn lines(&self, at: u64, config: &PythonConfig) -> u64 {
        let table = self.member(config.line_table);
        // SAFETY: as above.
        let len = unsafe { read(table.wrapping_add(PYTHON_LENGTH) as *const u64) };
        let Ok(len) = len else { return 0 };
        if len > MAX_PYTHON_LINES as u64 {
            return 0;
        }
        self.copy(at, table, PYTHON_BYTES + len, MAX_PYTHON_LINES)
    }

    #[inline(always)]
    fn copy(&self, at: u64, from: u64, bytes: u64, most: usize) -> u64 {
        if bytes > most as u64 {
            return 0;
        }
        let at = bounded::<MOST_BEFORE>(at) as usize;
        let len = bounded::<MOST_BYTES>(bytes);
        // SAFETY: the event has room for the longest of each; the helper checks the address that it reads from.
        unsafe {
            let to = self.event().cast::<u8>().add(at).cast::<c_void>();
            if bpf_probe_read_user(to, len as u32, from as *const c_void) != 0 {
                return 0;
            }
        }
        bytes
    }

    /// A member of the code object, whose first bytes are in the event.
    #[inline(always)]
    fn member(&self, offset: u32) -> u64 {
        // Behind the head there are the objects.
        let offset = bounded::<{ 255 & !(WORD - 1) }>(offset.into()) as usize;
        // SAFETY: the offset is masked, and aligned with it.
        unsafe {
            let word = self.event().cast::<u64>();
            word.byte_add(offset_of!(PythonCodeEvent, head) + offset).read_volatile()
        }
    }

    #[inline(always)]
    fn output(&self, bytes: u64) -> bool {
        let bytes = bounded::<MOST_BYTES>(bytes) as usize;
        // SAFETY: the window is larger than the mask.
        let event = unsafe { core::slice::from_raw_parts(self.event().cast::<u8>(), bytes) };
        EVENTS.output::<[u8]>(event, 0).is_ok()
    }

    #[inline(always)]
    fn event(&self) -> *mut PythonCodeEvent {
        // SAFETY: `thread` points to a map value that belongs to this thread alone.
        unsafe { (&raw mut (*self.thread).window).cast() }
    }
}

#[inline(always)]
fn whole_words(bytes: u64) -> u64 {
    (bytes + WORD - 1) & !(WORD - 1)
}
