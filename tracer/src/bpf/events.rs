//! The ring buffer's records, made safe to handle.

use std::mem::offset_of;

use tracer_common::{
    Epoch, EventHeader, EventKind, FrameWord, MapEvent, PythonEnd, PythonEvent, PythonFrame,
    PythonHash, RawStackEvent, Space, StackEvent, StackId, UnwindStatus, limits::MAX_PYTHON_RUNS,
};

use super::code_event::{self, NewCode};

/// Something the kernel side told us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A stack that we have not seen yet.
    Stack(NewStack),
    /// The frames of Python's of the stack that follows.
    Python(NewPython),
    /// A code object that frames of Python's are of, which follow.
    PythonCode(Box<NewCode>),
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

/// The frames of Python's that belong to a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPython {
    /// The address space that they were seen in.
    pub space: Space,
    /// The stack's id.
    pub stack: StackId,
    /// How the walk along them ended.
    pub end: PythonEnd,
    /// Innermost first.
    pub frames: Vec<PythonFrame>,
    /// The calls of the interpreter's evaluation function, innermost first.
    pub runs: Vec<PythonRun>,
}

impl NewPython {
    /// What it adds to the id of its stack, by the kernel side's rule.
    pub fn hash(&self) -> PythonHash {
        let mut runs = self.runs.iter().peekable();
        let mut hash = PythonHash::NEW;
        for (at, frame) in self.frames.iter().enumerate() {
            while runs.next_if(|run| run.end <= at).is_some() {
                hash = hash.with_run_end();
            }
            hash = hash.with(*frame);
        }
        runs.fold(hash, |hash, _| hash.with_run_end())
    }
}

/// What one call of the evaluation function works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PythonRun {
    /// How many of all frames come before its end.
    pub end: usize,
    /// An address within the native frame of the call.
    pub anchor: u64,
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
            EventKind::PythonStack => Self::Python(python(record, space)?),
            EventKind::PythonCode => Self::PythonCode(Box::new(code_event::parse(record, space)?)),
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

fn python(record: &[u8], space: Space) -> Option<NewPython> {
    let number = |offset| u32_at(record, offset).map(|number| number as usize);
    let len = number(offset_of!(PythonEvent, len))?;
    let runs = (0..number(offset_of!(PythonEvent, runs_len))?.min(MAX_PYTHON_RUNS)).map(|run| {
        let end = number(offset_of!(PythonEvent, runs) + run * size_of::<u32>())?;
        let anchor = offset_of!(PythonEvent, anchors) + run * size_of::<u64>();
        Some(PythonRun { end, anchor: u64_at(record, anchor)? })
    });
    let runs: Vec<_> = runs.collect::<Option<_>>()?;
    let frames = record.get(PythonEvent::HEAD..)?.get(..len * size_of::<PythonFrame>())?;
    let frames = frames.chunks_exact(size_of::<PythonFrame>()).map(|frame| {
        Some(PythonFrame {
            code: u64_at(frame, offset_of!(PythonFrame, code))?,
            checksum: u32_at(frame, offset_of!(PythonFrame, checksum))?,
            instruction: u32_at(frame, offset_of!(PythonFrame, instruction))?.cast_signed(),
        })
    });
    let ordered = runs.is_sorted_by_key(|run| run.end);
    (ordered && runs.last().is_none_or(|run| run.end <= len)).then_some(())?;
    Some(NewPython {
        space,
        stack: StackId(u64_at(record, offset_of!(PythonEvent, stack))?),
        end: PythonEnd::from_raw(u32_at(record, offset_of!(PythonEvent, end))?)?,
        frames: frames.collect::<Option<_>>()?,
        runs,
    })
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

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

pub(super) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
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

    fn python_record(runs: &[u32], frames: &[(u64, u32, i32)]) -> Vec<u8> {
        let mut record = Vec::new();
        record.extend(9_u32.to_ne_bytes());
        record.extend(7_u32.to_ne_bytes());
        record.extend(0xabcd_u64.to_ne_bytes());
        for word in [frames.len() as u32, 4, runs.len() as u32, 0] {
            record.extend(word.to_ne_bytes());
        }
        for run in 0..MAX_PYTHON_RUNS {
            record.extend(runs.get(run).copied().unwrap_or(99).to_ne_bytes());
        }
        for run in 0..MAX_PYTHON_RUNS as u64 {
            record.extend((0x7000 + run).to_ne_bytes());
        }
        for (code, checksum, instruction) in frames {
            record.extend(code.to_ne_bytes());
            record.extend(checksum.to_ne_bytes());
            record.extend(instruction.to_ne_bytes());
        }
        record
    }

    #[test]
    fn frames_of_python_are_read_as_the_kernel_wrote_them() {
        let frames = [(0x10, 7, -1), (0x20, 8, 5), (0x30, 9, 6)];
        let frame = |(code, checksum, instruction)| PythonFrame { code, checksum, instruction };
        let run = |end, anchor| PythonRun { end, anchor };
        assert_eq!(
            Event::parse(&python_record(&[0, 2], &frames)),
            Event::Python(NewPython {
                space: Space(7),
                stack: StackId(0xabcd),
                end: PythonEnd::Truncated,
                frames: frames.map(frame).to_vec(),
                runs: vec![run(0, 0x7000), run(2, 0x7001)],
            })
        );
        let mut short = python_record(&[2], &frames);
        short.pop();
        assert_eq!(Event::parse(&short), Event::Malformed, "cut short");
        assert_eq!(Event::parse(&python_record(&[2, 1], &frames)), Event::Malformed, "unordered");
        assert_eq!(Event::parse(&python_record(&[4], &frames)), Event::Malformed, "too many");
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
