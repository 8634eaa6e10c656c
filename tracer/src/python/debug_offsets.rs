//! The layout as the interpreter itself tells it, from 3.13 on: `_Py_DebugOffsets` at the beginning of `_PyRuntime`.

use tracer_common::PythonWalk;

use super::layout::{CodeLayout, FrameLayout, InterpreterLayout, Layout, TextLayout, ThreadLayout};

/// What it begins with.
const COOKIE: &[u8; 8] = b"xdebugpy";
/// Its bytes that are read: up to `unicode_object`.
pub(super) const LEN: usize = WORDS * 8;
/// Words in it, the cookie among them.
const WORDS: usize = 71;
/// Whatever a structure's members are, they are not further from its beginning.
const MAX_OFFSET: u64 = 1 << 20;
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
    let offset = |at: usize| (words[at] < MAX_OFFSET).then_some(words[at] as u32);
    // What every object begins with is not asked for each time.
    let basics = [word::OBJECT_TYPE, word::TYPE_NAME, word::TEXT_LENGTH, word::TEXT_STATE];
    if basics.map(|at| words[at]) != [8, 24, 16, 32] {
        return None;
    }
    Some(SelfDescription {
        version: u32::try_from(words[word::VERSION]).ok()?,
        free_threaded: words[word::FREE_THREADED] != 0,
        head: offset(word::RUNTIME_HEAD)?,
        layout: Layout {
            walk: PythonWalk::Shim,
            interpreter: InterpreterLayout {
                next: offset(word::INTERPRETER_NEXT)?,
                threads: offset(word::INTERPRETER_THREADS)?,
            },
            thread: ThreadLayout {
                next: offset(word::THREAD_NEXT)?,
                interpreter: offset(word::THREAD_INTERPRETER)?,
                id: offset(word::THREAD_ID)?,
                native_id: offset(word::THREAD_NATIVE_ID)?,
                frame: offset(word::THREAD_FRAME)?,
                cframe: 0,
                cframe_frame: 0,
                cframe_previous: 0,
            },
            frame: FrameLayout {
                previous: offset(word::FRAME_PREVIOUS)?,
                code: offset(word::FRAME_CODE)?,
                instruction: offset(word::FRAME_INSTRUCTION)?,
                owner: offset(word::FRAME_OWNER)?,
            },
            code: CodeLayout {
                size: offset(word::CODE_BYTES)?,
                identity: IDENTITY,
                first_line: offset(word::CODE_FIRST_LINE)?,
                file: offset(word::CODE_FILE)?,
                name: offset(word::CODE_NAME)?,
                qualified_name: offset(word::CODE_QUALIFIED_NAME)?,
                line_table: offset(word::CODE_LINE_TABLE)?,
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
