//! Where CPython's structures keep what is read: of a release build with the GIL, on x86-64.

use tracer_common::{PythonConfig, PythonWalk};

use super::Version;

/// Bytes from the beginning of the structure that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) walk: PythonWalk,
    pub(super) interpreter: InterpreterLayout,
    pub(super) thread: ThreadLayout,
    pub(super) frame: FrameLayout,
    pub(super) code: CodeLayout,
    pub(super) text: TextLayout,
}

/// `PyInterpreterState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InterpreterLayout {
    pub(super) next: u32,
    pub(super) threads: u32,
}

/// `PyThreadState`, and the `CFrame` that it points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThreadLayout {
    pub(super) next: u32,
    pub(super) interpreter: u32,
    /// What `pthread_self` returns.
    pub(super) id: u32,
    /// 0 where there is none.
    pub(super) native_id: u32,
    /// 0 where the `CFrame` has it.
    pub(super) frame: u32,
    /// 0 where there is none.
    pub(super) cframe: u32,
    pub(super) cframe_frame: u32,
    pub(super) cframe_previous: u32,
}

/// `PyFrameObject` (3.10), `_PyInterpreterFrame`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameLayout {
    pub(super) previous: u32,
    pub(super) code: u32,
    pub(super) instruction: u32,
    /// `is_entry` in 3.11.
    pub(super) owner: u32,
}

/// `PyCodeObject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CodeLayout {
    /// `tp_basicsize` of `PyCode_Type`; from 3.11 on where the instructions begin.
    pub(super) size: u32,
    pub(super) identity: u32,
    pub(super) first_line: u32,
    pub(super) file: u32,
    pub(super) name: u32,
    /// That of `name` where there is no other (3.10).
    pub(super) qualified_name: u32,
    pub(super) line_table: u32,
}

/// `str`: how long what comes before the characters is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TextLayout {
    /// `tp_basicsize` of `PyUnicode_Type`.
    pub(super) size: u32,
    /// `PyASCIIObject`.
    pub(super) ascii: u32,
    /// `PyCompactUnicodeObject`.
    pub(super) compact: u32,
}

/// From 3.11 on; all but the size and the first line are where they were.
const CODE: CodeLayout = CodeLayout {
    size: 184,
    identity: 56,
    first_line: 72,
    file: 112,
    name: 120,
    qualified_name: 128,
    line_table: 136,
};

const V3_10: Layout = Layout {
    walk: PythonWalk::Each,
    interpreter: InterpreterLayout { next: 0, threads: 8 },
    thread: ThreadLayout {
        next: 8,
        interpreter: 16,
        id: 176,
        native_id: 0,
        frame: 24,
        cframe: 48,
        cframe_frame: 0,
        cframe_previous: 8,
    },
    frame: FrameLayout { previous: 24, code: 32, instruction: 96, owner: 0 },
    code: CodeLayout {
        size: 176,
        identity: 40,
        first_line: 40,
        file: 104,
        name: 112,
        qualified_name: 112,
        line_table: 120,
    },
    text: TextLayout { size: 80, ascii: 48, compact: 72 },
};

const V3_11: Layout = Layout {
    walk: PythonWalk::Entry,
    interpreter: InterpreterLayout { next: 0, threads: 16 },
    thread: ThreadLayout {
        next: 8,
        interpreter: 16,
        id: 152,
        native_id: 160,
        frame: 0,
        cframe: 56,
        cframe_frame: 8,
        cframe_previous: 16,
    },
    frame: FrameLayout { previous: 48, code: 32, instruction: 56, owner: 68 },
    code: CODE,
    text: TextLayout { size: 80, ascii: 48, compact: 72 },
};

const V3_12: Layout = Layout {
    walk: PythonWalk::Shim,
    interpreter: InterpreterLayout { next: 0, threads: 72 },
    thread: ThreadLayout {
        next: 8,
        interpreter: 16,
        id: 136,
        native_id: 144,
        frame: 0,
        cframe: 56,
        cframe_frame: 0,
        cframe_previous: 8,
    },
    frame: FrameLayout { previous: 8, code: 0, instruction: 56, owner: 70 },
    code: CodeLayout { size: 192, first_line: 68, ..CODE },
    text: TextLayout { size: 64, ascii: 40, compact: 56 },
};

impl Layout {
    /// Of the versions that don't describe themselves (3.10 to 3.12).
    pub(super) fn of(version: Version) -> Option<Self> {
        match (version.major, version.minor) {
            (3, 10) => Some(V3_10),
            (3, 11) => Some(V3_11),
            (3, 12) => Some(V3_12),
            _ => None,
        }
    }

    /// Whether instructions are counted rather than pointed at, and the line table is of the older kind.
    pub(super) fn counts_instructions(&self) -> bool {
        self.walk == PythonWalk::Each
    }

    /// For the kernel side, in address space 0. `thread_state` is counted from the thread pointer, `none` is the address of `None`.
    pub(super) fn config(&self, thread_state: u64, none: u64) -> PythonConfig {
        PythonConfig {
            walk: self.walk as u32,
            space: 0,
            thread_state,
            none,
            frame: self.thread.frame,
            cframe: self.thread.cframe,
            cframe_frame: self.thread.cframe_frame,
            cframe_previous: self.thread.cframe_previous,
            thread_id: self.thread.native_id,
            previous: self.frame.previous,
            code: self.frame.code,
            instruction: self.frame.instruction,
            owner: self.frame.owner,
            bytes: if self.counts_instructions() { 0 } else { self.code.size },
            identity: self.code.identity,
            file: self.code.file,
            name: self.code.qualified_name,
            line_table: self.code.line_table,
            ascii: self.text.ascii,
            compact: self.text.compact,
        }
    }
}
