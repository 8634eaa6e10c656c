//! Everything that crosses the border between the eBPF programs and the controller: the layout of
//! map keys and values, the ring buffer's events, the limits, and the names.
//!
//! Both sides compile this crate, so a change of layout can't be made on one side only. Layouts are
//! `repr(C)` with fixed-width integers and no implicit padding; sizes are asserted at compile time.

#![no_std]

pub mod chain;
mod code;
mod epoch;
mod event;
mod frame;
mod ids;
pub mod limits;
mod live;
mod mapping;
pub mod names;
mod pool;
mod python;
mod room;
mod settings;
mod tally;
mod thread;
pub mod unwind;
mod walk;

pub use code::{CODE_MAPS, CodeMap, CodeSpan, MAX_SPANS, SpanKind};
pub use epoch::{EpochSlot, KernelState, LINKING_ADDS, Row, RowCounts, RowKey, Trigger};
pub use event::{EventHeader, EventKind, RawStackEvent, StackEvent};
pub use frame::{FrameAt, FrameWord, StackHash, UnwindStatus};
pub use ids::{Domain, Epoch, Space, StackId};
pub use live::{LiveBlock, LiveKey};
pub use mapping::{MapCall, MapCallKind, MapEvent, MapOp};
pub use pool::{POOL_DUE, POOL_REGISTER, POOL_TAKEN, POOL_WORDS, PYTHON_POOL_BYTES, PoolTaken};
pub use python::{
    PYTHON_BYTES, PYTHON_CODE_BYTES, PYTHON_CODE_WORDS, PYTHON_LENGTH, PYTHON_TEXT,
    PythonCodeEvent, PythonCodeKey, PythonConfig, PythonEnd, PythonEvent, PythonFrame, PythonHash,
    PythonPass, PythonText, PythonWalk, python_checksum,
};
pub use room::{ROOM_HELD, ROOM_ROWS, ROOM_WORDS};
pub use settings::{CodeRange, Control};
pub use tally::{Tally, TallyKind};
pub use thread::{CallKind, OperatorCall, ThreadState};
pub use walk::{Memo, RuleCache, RuleCacheEntry, Walk};

/// Implements aya's marker for types that may be copied from and to kernel memory as bytes.
macro_rules! pod {
    ($($t:ty),+) => {
        $(
            // SAFETY: `repr(C)`, made of integers only, without padding (asserted by size).
            #[cfg(feature = "user")]
            unsafe impl aya::Pod for $t {}
        )+
    };
}
pub(crate) use pod;
