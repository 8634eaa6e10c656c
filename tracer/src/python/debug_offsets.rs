//! The layout as the interpreter itself tells it, from 3.13 on: `_Py_DebugOffsets` at the beginning of `_PyRuntime`.

use tracer_common::{PythonWalk, limits::MAX_PYTHON_STATE};

use super::layout::{CodeLayout, FrameLayout, InterpreterLayout, Layout, TextLayout, ThreadLayout};

/// What it begins with.
const COOKIE: &[u8; 8] = b"xdebugpy";
/// Its bytes that are read: up to `unicode_object`.
pub(super) const LEN: usize = WORDS * 8;
/// Words in it, the cookie among them.
const WORDS: usize = 71;
/// How far from their structure's beginning members are at most: of an interpreter, and of anything else.
const MAX_OFFSET: u64 = 1 << 20;
const MAX_NEAR: u64 = 4096;
/// What the kernel side copies of a thread's state has a word there.
const MAX_IN_STATE: u64 = (MAX_PYTHON_STATE - size_of::<u64>()) as u64 + 1;
/// The same of a frame, without its variables.
const MAX_IN_FRAME: u64 = 120;
/// Where the words of the checksum begin: what it is made of is not described, and is where 3.11 and 3.12 have it.
const IDENTITY: u32 = 56;

/// Words of `_Py_DebugOffsets` in 3.13, in their order.
mod word {
    pub(super) const VERSION: usize = 1;
    pub(super) const FREE_THREADED: usize = 2;
    pub(super) const RUNTIME_HEAD: usize = 5;
    pub(super) const INTERPRETER_NEXT: usize = 8;
    pub(super) const INTERPRETER_THREADS: usize = 9;
    pub(super) const THREAD_NEXT: usize = 21;
    pub(super) const THREAD_INTERPRETER: usize = 22;
    pub(super) const THREAD_FRAME: usize = 23;
    pub(super) const THREAD_ID: usize = 24;
    pub(super) const THREAD_NATIVE_ID: usize = 25;
    pub(super) const FRAME_PREVIOUS: usize = 29;
    pub(super) const FRAME_CODE: usize = 30;
    pub(super) const FRAME_INSTRUCTION: usize = 31;
    pub(super) const FRAME_OWNER: usize = 33;
    pub(super) const CODE_FILE: usize = 35;
    pub(super) const CODE_NAME: usize = 36;
    pub(super) const CODE_QUALIFIED_NAME: usize = 37;
    pub(super) const CODE_LINE_TABLE: usize = 38;
    pub(super) const CODE_FIRST_LINE: usize = 39;
    pub(super) const CODE_BYTES: usize = 43;
    pub(super) const OBJECT_TYPE: usize = 45;
    pub(super) const TYPE_NAME: usize = 47;
    pub(super) const TEXT_SIZE: usize = 67;
    pub(super) const TEXT_STATE: usize = 68;
    pub(super) const TEXT_LENGTH: usize = 69;
    pub(super) const TEXT_ASCII: usize = 70;
}

/// What an interpreter tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SelfDescription {
    /// As `Py_Version` has it.
    pub(super) version: u32,
    pub(super) free_threaded: bool,
    /// `_PyRuntime`: the first `PyInterpreterState`.
    pub(super) head: u32,
    pub(super) layout: Layout,
}

/// Reads the beginning of `_PyRuntime` of 3.13. `None` where it is not what it ought to be.
pub(super) fn parse(bytes: &[u8; LEN]) -> Option<SelfDescription> {
    if !bytes.starts_with(COOKIE) {
        return None;
    }
    let words: Vec<u64> =
        bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let below = |at: usize, max: u64| (words[at] < max).then_some(words[at] as u32);
    let far = |at: usize| below(at, MAX_OFFSET);
    let near = |at: usize| below(at, MAX_NEAR);
    let in_state = |at: usize| below(at, MAX_IN_STATE);
    let in_frame = |at: usize| below(at, MAX_IN_FRAME);
    // What every object begins with is not asked for each time.
    let basics = [word::OBJECT_TYPE, word::TYPE_NAME, word::TEXT_LENGTH, word::TEXT_STATE];
    if basics.map(|at| words[at]) != [8, 24, 16, 32] {
        return None;
    }
    Some(SelfDescription {
        version: u32::try_from(words[word::VERSION]).ok()?,
        free_threaded: words[word::FREE_THREADED] != 0,
        head: far(word::RUNTIME_HEAD)?,
        layout: Layout {
            walk: PythonWalk::Shim,
            interpreter: InterpreterLayout {
                next: far(word::INTERPRETER_NEXT)?,
                threads: far(word::INTERPRETER_THREADS)?,
            },
            thread: ThreadLayout {
                next: near(word::THREAD_NEXT)?,
                interpreter: near(word::THREAD_INTERPRETER)?,
                id: near(word::THREAD_ID)?,
                native_id: in_state(word::THREAD_NATIVE_ID)?,
                frame: in_state(word::THREAD_FRAME)?,
                cframe: 0,
                cframe_frame: 0,
                cframe_previous: 0,
            },
            frame: FrameLayout {
                previous: in_frame(word::FRAME_PREVIOUS)?,
                code: in_frame(word::FRAME_CODE)?,
                instruction: in_frame(word::FRAME_INSTRUCTION)?,
                owner: in_frame(word::FRAME_OWNER)?,
            },
            code: CodeLayout {
                size: near(word::CODE_BYTES)?,
                identity: IDENTITY,
                first_line: near(word::CODE_FIRST_LINE)?,
                file: near(word::CODE_FILE)?,
                name: near(word::CODE_NAME)?,
                qualified_name: near(word::CODE_QUALIFIED_NAME)?,
                line_table: near(word::CODE_LINE_TABLE)?,
            },
            text: text(&words)?,
        },
    })
}

/// Two words lie between what plain and other characters come after: their length in UTF-8, and where that is.
fn text(words: &[u64]) -> Option<TextLayout> {
    let ascii = u32::try_from(words[word::TEXT_ASCII]).ok().filter(|size| *size < 256)?;
    let size = u32::try_from(words[word::TEXT_SIZE]).ok().filter(|size| *size < 256)?;
    (size == ascii + 24).then_some(TextLayout { size, ascii, compact: ascii + 16 })
}

#[cfg(test)]
mod tests {
    use super::{COOKIE, LEN, SelfDescription, WORDS, parse, word};

    /// What 3.13.0 says, after the cookie.
    const V3_13: [u64; WORDS - 1] = [
        51_183_856, 0, 283_320, 608, 632, 194_968, 7272, 7264, 7344, 7400, 7656, 7640, 7648, 16,
        7752, 0, 7768, 7760, 304, 0, 8, 16, 72, 152, 160, 232, 32, 80, 8, 0, 56, 72, 70, 208, 112,
        120, 128, 136, 68, 52, 96, 104, 200, 16, 8, 416, 24, 88, 168, 32, 24, 16, 40, 24, 16, 48,
        32, 40, 24, 16, 32, 16, 24, 40, 16, 32, 64, 32, 16, 40,
    ];

    fn bytes(words: &[u64; WORDS - 1]) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(COOKIE);
        for (to, word) in bytes[8..].as_chunks_mut().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        bytes
    }

    /// With another number in place of one.
    fn changed(at: usize, value: u64) -> Option<SelfDescription> {
        let mut words = V3_13;
        words[at - 1] = value;
        parse(&bytes(&words))
    }

    #[test]
    fn an_interpreter_describes_itself() {
        let told = parse(&bytes(&V3_13)).expect("a description");
        assert_eq!((told.version, told.free_threaded, told.head), (0x030d_00f0, false, 632));
        assert_eq!(told.layout.thread.frame, 72);
        assert_eq!(told.layout.frame.owner, 70);
        assert_eq!((told.layout.code.size, told.layout.code.line_table), (200, 136));
        assert_eq!((told.layout.text.ascii, told.layout.text.compact), (40, 56));
        assert_eq!(changed(word::FREE_THREADED, 1).map(|it| it.free_threaded), Some(true));
    }

    #[test]
    fn nonsense_is_no_description() {
        assert_eq!(parse(&[0; LEN]), None);
        assert_eq!(changed(word::OBJECT_TYPE, 24), None, "trace-refs builds have a list before");
        assert_eq!(changed(word::TEXT_SIZE, 80), None);
        assert_eq!(changed(word::CODE_FILE, u64::MAX), None);
        assert_eq!(changed(word::FRAME_OWNER, 128), None, "further out than any frame");
    }
}
