//! Python's frames of a thread, as the kernel side walks them, but from outside and while the thread may go on.

use tracer_common::{
    PYTHON_CODE_WORDS, PythonConfig, PythonFrame, PythonWalk,
    limits::{MAX_PYTHON_FRAMES, MAX_PYTHON_RUNS},
    python_checksum,
};

use super::Memory;

/// `owner` of a frame that the interpreter keeps on its C stack.
const OWNED_BY_C_STACK: u8 = 3;
/// Frames of all kinds that are looked at: nonsense may be linked in a circle.
const MAX_STEPS: usize = 2 * (MAX_PYTHON_FRAMES + MAX_PYTHON_RUNS);
/// Bytes of a code unit.
const UNIT: i64 = 2;

/// The frames of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Innermost first; at most [`MAX_PYTHON_FRAMES`].
    pub frames: Vec<PythonFrame>,
    /// For each run, innermost first, how many frames come before its end; at most [`MAX_PYTHON_RUNS`].
    pub runs: Vec<u32>,
    /// What stands for the code of those that are not Python's own.
    pub shims: Vec<u64>,
    /// Whether there were more than there is room for.
    pub truncated: bool,
}

impl Chain {
    /// The frames of the thread whose `PyThreadState` is at this address. None where it runs no Python.
    ///
    /// While the thread runs on, what is read may be of several moments, and anything at all.
    ///
    /// `None` where memory can't be read.
    pub fn read(memory: &Memory, config: &PythonConfig, thread_state: u64) -> Option<Self> {
        let mut chain = Self::default();
        let mut frame = first(memory, config, thread_state)?;
        for _ in 0..MAX_STEPS {
            let is_full = chain.frames.len() == MAX_PYTHON_FRAMES;
            if frame == 0 || is_full || chain.runs.len() == MAX_PYTHON_RUNS {
                break;
            }
            chain.add(memory, config, frame)?;
            frame = memory.u64(frame.wrapping_add(config.previous.into()))?;
        }
        chain.truncated = frame != 0;
        Some(chain)
    }

    fn add(&mut self, memory: &Memory, config: &PythonConfig, frame: u64) -> Option<()> {
        let code = memory.u64(frame.wrapping_add(config.code.into()))?;
        let byte = |at: u32| memory.u8(frame.wrapping_add(at.into()));
        let is_shim =
            config.walk == PythonWalk::Shim as u32 && byte(config.owner)? == OWNED_BY_C_STACK;
        if is_shim {
            self.shims.push(code);
        } else if code != 0 && code != config.none {
            let instruction = instruction(memory, config, frame, code)?;
            let checksum = checksum(memory, config, code).unwrap_or(0);
            self.frames.push(PythonFrame { code, checksum, instruction });
        }
        let is_end = config.walk == PythonWalk::Each as u32
            || (config.walk == PythonWalk::Entry as u32 && byte(config.owner)? != 0);
        if is_shim || is_end {
            self.runs.push(self.frames.len() as u32);
        }
        Some(())
    }
}

/// The innermost frame; 0 where there is none.
fn first(memory: &Memory, config: &PythonConfig, thread_state: u64) -> Option<u64> {
    let has_it = config.cframe == 0 || config.walk == PythonWalk::Each as u32;
    if has_it {
        return memory.u64(thread_state.wrapping_add(config.frame.into()));
    }
    match memory.u64(thread_state.wrapping_add(config.cframe.into()))? {
        0 => Some(0),
        cframe => memory.u64(cframe.wrapping_add(config.cframe_frame.into())),
    }
}

fn instruction(memory: &Memory, config: &PythonConfig, frame: u64, code: u64) -> Option<i32> {
    let at = frame.wrapping_add(config.instruction.into());
    if config.bytes == 0 {
        return memory.u32(at).map(u32::cast_signed);
    }
    let first = code.wrapping_add(config.bytes.into());
    let inside = memory.u64(at)?.wrapping_sub(first).cast_signed();
    // Far from the code it is none of its instructions.
    Some(i32::try_from(inside.div_euclid(UNIT)).unwrap_or(-1))
}

/// The checksum of what is at `code` now.
pub(super) fn checksum(memory: &Memory, config: &PythonConfig, code: u64) -> Option<u32> {
    let bytes: [u8; PYTHON_CODE_WORDS * 8] =
        memory.array(code.wrapping_add(config.identity.into()))?;
    let mut words = [0; PYTHON_CODE_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    Some(python_checksum(&words))
}
