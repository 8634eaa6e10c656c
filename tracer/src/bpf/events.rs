//! The ring buffer's records, made safe to handle.

use std::mem::offset_of;

use tracer_common::{
    Epoch, EventHeader, EventKind, FrameWord, MapEvent, RawStackEvent, Space, StackEvent, StackId,
    UnwindStatus,
};

/// Something the kernel side told us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A stack that we have not seen yet.
    Stack(NewStack),
    /// The memory of a stack that the kernel side could not unwind to its end.
    RawStack(RawStack),
    /// An epoch ended.
    Mark,
    /// The target replaced its image.
    Exec,
    /// The target's list of loaded objects changed.
    Objects,
    /// An interpreter of Python's is ready.
    PythonStart,
    /// The target changed its mappings.
    Mapping(MapEvent),
    /// The main thread ended, for which the probes were set.
    MainExit,
    /// Another thread took its place by an `execve`.
    ThreadExec,
    /// Bytes that make no sense to us; counted, not guessed at.
    Malformed,
}

/// A stack, as far as the kernel side unwound it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStack {
    /// The address space it was seen in.
    pub space: Space,
    /// Its id.
    pub stack: StackId,
    /// How it ended.
    pub status: UnwindStatus,
    /// Innermost first; each of a kind that exists.
    pub frames: Vec<FrameWord>,
}

/// The top of a thread's stack, and the registers to begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawStack {
    /// The address space it was seen in.
    pub space: Space,
    /// The id that its block refers to.
    pub stack: StackId,
    /// Where the allocation call returned to.
    pub ip: u64,
    /// The caller's stack pointer: the address of `bytes`.
    pub sp: u64,
    /// The caller's `rbp`.
    pub bp: u64,
    /// How often objects had been unloaded by then.
    pub removals: u64,
    /// The memory.
    pub bytes: Vec<u8>,
}

impl Event {
    /// Reads one record.
    pub(super) fn parse(record: &[u8]) -> Self {
        Self::try_parse(record).unwrap_or(Self::Malformed)
    }

    fn try_parse(record: &[u8]) -> Option<Self> {
        let space = Space(u32_at(record, size_of::<u32>())?);
        Some(match EventKind::from_raw(u32_at(record, 0)?)? {
            EventKind::Mark => Self::Mark,
            EventKind::Exec => Self::Exec,
            EventKind::Objects => Self::Objects,
            EventKind::PythonStart => Self::PythonStart,
            EventKind::Mapping => Self::Mapping(mapping(record)?),
            EventKind::MainExit => Self::MainExit,
            EventKind::ThreadExec => Self::ThreadExec,
            EventKind::Stack => Self::Stack(stack(record, space)?),
            EventKind::RawStack => Self::RawStack(raw_stack(record, space)?),
        })
    }
}

fn stack(record: &[u8], space: Space) -> Option<NewStack> {
    let stack = StackId(u64_at(record, offset_of!(StackEvent, stack))?);
    let len = u32_at(record, offset_of!(StackEvent, len))? as usize;
    let status = UnwindStatus::from_raw(u32_at(record, offset_of!(StackEvent, status))?)?;
    let words = record.get(StackEvent::HEAD..)?.get(..len * size_of::<u64>())?;
    let frames = words.chunks_exact(size_of::<u64>()).map(|word| {
        let word = FrameWord(u64_at(word, 0)?);
        word.decode().map(|_| word)
    });
    Some(NewStack { space, stack, status, frames: frames.collect::<Option<_>>()? })
}

fn raw_stack(record: &[u8], space: Space) -> Option<RawStack> {
    let len = u32_at(record, offset_of!(RawStackEvent, len))? as usize;
    Some(RawStack {
        space,
        stack: StackId(u64_at(record, offset_of!(RawStackEvent, stack))?),
        ip: u64_at(record, offset_of!(RawStackEvent, ip))?,
        sp: u64_at(record, offset_of!(RawStackEvent, sp))?,
        bp: u64_at(record, offset_of!(RawStackEvent, bp))?,
        removals: u64_at(record, offset_of!(RawStackEvent, removals))?,
        bytes: record.get(RawStackEvent::HEAD..)?.get(..len)?.to_vec(),
    })
}

fn mapping(record: &[u8]) -> Option<MapEvent> {
    let u32_of = |offset| u32_at(record, offset);
    let u64_of = |offset| u64_at(record, offset);
    Some(MapEvent {
        header: EventHeader { kind: u32_of(0)?, space: Space(u32_of(size_of::<u32>())?) },
        epoch: Epoch(u32_of(offset_of!(MapEvent, epoch))?),
        op: u32_of(offset_of!(MapEvent, op))?,
        tid: u32_of(offset_of!(MapEvent, tid))?,
        in_heap: u32_of(offset_of!(MapEvent, in_heap))?,
        addr: u64_of(offset_of!(MapEvent, addr))?,
        len: u64_of(offset_of!(MapEvent, len))?,
        old_addr: u64_of(offset_of!(MapEvent, old_addr))?,
        old_len: u64_of(offset_of!(MapEvent, old_len))?,
        stack: StackId(u64_of(offset_of!(MapEvent, stack))?),
    })
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack_record(len: u32, status: u32, frames: &[u64]) -> Vec<u8> {
        let mut record = Vec::new();
        record.extend(1_u32.to_ne_bytes());
        record.extend(7_u32.to_ne_bytes());
        record.extend(0xabcd_u64.to_ne_bytes());
        record.extend(len.to_ne_bytes());
        record.extend(status.to_ne_bytes());
        for frame in frames {
            record.extend(frame.to_ne_bytes());
        }
        record
    }

    #[test]
    fn a_stack_is_read_as_the_kernel_wrote_it() {
        let frames = vec![FrameWord::in_module(3, 0x10, 0), FrameWord::bare(0x20, 0)];
        let words: Vec<u64> = frames.iter().map(|word| word.0).collect();
        assert_eq!(
            Event::parse(&stack_record(2, 2, &words)),
            Event::Stack(NewStack {
                space: Space(7),
                stack: StackId(0xabcd),
                status: UnwindStatus::NoRule,
                frames
            })
        );
        assert_eq!(Event::parse(&stack_record(2, 99, &words)), Event::Malformed);
        assert_eq!(Event::parse(&stack_record(2, 0, &[words[0], 0x20])), Event::Malformed);
    }

    #[test]
    fn a_raw_stack_is_read_as_the_kernel_wrote_it() {
        let mut record = Vec::new();
        record.extend(8_u32.to_ne_bytes());
        record.extend(7_u32.to_ne_bytes());
        for word in [0xabcd_u64, 0x10, 0x20, 0x30, 5, 8, 0x1122] {
            record.extend(word.to_ne_bytes());
        }
        let bytes = 0x1122_u64.to_ne_bytes().to_vec();
        let (space, stack) = (Space(7), StackId(0xabcd));
        let raw = RawStack { space, stack, ip: 0x10, sp: 0x20, bp: 0x30, removals: 5, bytes };
        assert_eq!(Event::parse(&record), Event::RawStack(raw));
        record.pop();
        assert_eq!(Event::parse(&record), Event::Malformed, "cut short");
    }

    #[test]
    fn a_mapping_is_read_as_the_kernel_wrote_it() {
        let mut record = Vec::new();
        for word in [5_u32, 7, 2, 3, 42, 1] {
            record.extend(word.to_ne_bytes());
        }
        for word in [0x1000_u64, 0x2000, 0x3000, 0x4000, 0xabcd] {
            record.extend(word.to_ne_bytes());
        }
        let event = MapEvent {
            header: EventHeader { kind: 5, space: Space(7) },
            epoch: Epoch(2),
            op: 3,
            tid: 42,
            in_heap: 1,
            addr: 0x1000,
            len: 0x2000,
            old_addr: 0x3000,
            old_len: 0x4000,
            stack: StackId(0xabcd),
        };
        assert_eq!(Event::parse(&record), Event::Mapping(event));
        assert_eq!(Event::parse(&record[..60]), Event::Malformed);
    }

    #[test]
    fn what_makes_no_sense_is_malformed() {
        assert_eq!(Event::parse(&[]), Event::Malformed);
        assert_eq!(Event::parse(&[99, 0, 0, 0, 0, 0, 0, 0]), Event::Malformed);
        assert_eq!(Event::parse(&stack_record(3, 0, &[0x10, 0x20])), Event::Malformed, "cut short");
    }
}
