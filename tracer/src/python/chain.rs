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
    if config.frame != 0 {
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

#[cfg(test)]
mod tests {
    use tracer_common::{PythonConfig, PythonWalk};

    use super::{Chain, MAX_PYTHON_FRAMES};
    use crate::{python::Memory, units::Pid};

    /// Words of a structure.
    const SIZE: usize = 32;
    /// Our own memory is the target's: each structure has [`SIZE`] words, the first is the thread state.
    const CONFIG: PythonConfig = PythonConfig {
        walk: PythonWalk::Shim as u32,
        space: 0,
        thread_state: 0,
        none: 0x40,
        frame: 72,
        cframe: 0,
        cframe_frame: 0,
        cframe_previous: 0,
        thread_id: 160,
        previous: 8,
        code: 0,
        instruction: 56,
        owner: 70,
        bytes: 200,
        identity: 56,
        file: 0,
        name: 0,
        line_table: 0,
        ascii: 0,
        compact: 0,
    };

    fn walk(words: &[u64], config: &PythonConfig) -> Option<Chain> {
        let memory = Memory::of_process(Pid(std::process::id())).expect("our own memory");
        Chain::read(&memory, config, words.as_ptr() as u64)
    }

    fn address(words: &[u64], structure: usize) -> u64 {
        words.as_ptr() as u64 + (structure * SIZE * 8) as u64
    }

    #[test]
    fn a_run_ends_before_a_shim() {
        // The thread state, a frame, a shim, a frame and a shim; then the code.
        let mut words = vec![0; 6 * SIZE];
        let at: Vec<_> = (0..6).map(|structure| address(&words, structure)).collect();
        (words[9], words[5 * SIZE + 9]) = (at[1], 1);
        for (frame, previous, code, owner, instruction) in [
            (1, at[2], at[5], 0, at[5] + 200 + 2 * 7),
            (2, at[3], 0x40, 3, 0),
            (3, at[4], at[5], 1, at[5] + 200 - 2),
            (4, 0, 0x40, 3, 0),
        ] {
            let words = &mut words[frame * SIZE..];
            (words[0], words[1], words[7], words[8]) = (code, previous, instruction, owner << 48);
        }
        let chain = walk(&words, &CONFIG).expect("readable");
        let instructions: Vec<_> = chain.frames.iter().map(|frame| frame.instruction).collect();
        assert_eq!(instructions, [7, -1]);
        assert!(chain.frames.iter().all(|frame| frame.code == at[5] && frame.checksum != 0));
        assert_eq!((chain.runs, chain.shims), (vec![1, 2], vec![0x40, 0x40]));
        assert!(!chain.truncated);
    }

    #[test]
    fn frames_in_a_circle_have_an_end() {
        let mut words = vec![0; 3 * SIZE];
        words[9] = address(&words, 1);
        words[SIZE + 1] = address(&words, 1);
        let chain = walk(&words, &CONFIG).expect("readable");
        assert!(chain.truncated && chain.frames.is_empty(), "none of them has code");
        words[SIZE] = address(&words, 2);
        let chain = walk(&words, &CONFIG).expect("readable");
        assert!(chain.truncated && chain.frames.len() == MAX_PYTHON_FRAMES);
        words[SIZE + 1] = 8;
        assert_eq!(walk(&words, &CONFIG), None, "nothing is mapped there");
        words[9] = 0;
        assert_eq!(walk(&words, &CONFIG), Some(Chain::default()), "no frame");
    }
}
