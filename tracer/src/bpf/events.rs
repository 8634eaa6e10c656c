//! The ring buffer's records, made safe to handle.

use tracer_common::{Epoch, EventHeader, EventKind, MapEvent, Space, StackEvent, StackId};

/// Something the kernel side told us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A stack that we have not seen yet.
    Stack(NewStack),
    /// An epoch ended.
    Mark,
    /// The target replaced its image.
    Exec,
    /// The target's list of loaded objects changed.
    Objects,
    /// The target changed its mappings.
    Mapping(MapEvent),
    /// The main thread ended, for which the probes were set.
    MainExit,
    /// Another thread took its place by an `execve`.
    ThreadExec,
    /// Bytes that make no sense to us; counted, not guessed at.
    Malformed,
}

/// A stack with the addresses as they were in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStack {
    /// The address space it was seen in.
    pub space: Space,
    /// Its id.
    pub stack: StackId,
    /// Return addresses, innermost first.
    pub frames: Vec<u64>,
}

impl Event {
    /// Reads one record.
    pub(super) fn parse(record: &[u8]) -> Self {
        Self::try_parse(record).unwrap_or(Self::Malformed)
    }

    fn try_parse(record: &[u8]) -> Option<Self> {
        let space = Space(u32_at(record, size_of::<u32>())?);
        Some(match EventKind::from_raw(u32_at(record, 0)?)? {
            EventKind::RawStack => return None,
            EventKind::Mark => Self::Mark,
            EventKind::Exec => Self::Exec,
            EventKind::Objects => Self::Objects,
            EventKind::Mapping => Self::Mapping(mapping(record)?),
            EventKind::MainExit => Self::MainExit,
            EventKind::ThreadExec => Self::ThreadExec,
            EventKind::Stack => {
                let stack = StackId(u64_at(record, size_of::<EventHeader>())?);
                let len = u32_at(record, size_of::<EventHeader>() + size_of::<StackId>())? as usize;
                let frames = record.get(StackEvent::HEAD..)?.chunks_exact(size_of::<u64>());
                if frames.len() < len {
                    return None;
                }
                let frames = frames.take(len).filter_map(|word| u64_at(word, 0)).collect();
                Self::Stack(NewStack { space, stack, frames })
            }
        })
    }
}

fn mapping(record: &[u8]) -> Option<MapEvent> {
    use std::mem::offset_of;
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

    fn stack_record(len: u32, frames: &[u64]) -> Vec<u8> {
        let mut record = Vec::new();
        record.extend(1_u32.to_ne_bytes());
        record.extend(7_u32.to_ne_bytes());
        record.extend(0xabcd_u64.to_ne_bytes());
        record.extend(len.to_ne_bytes());
        record.extend(0_u32.to_ne_bytes());
        for frame in frames {
            record.extend(frame.to_ne_bytes());
        }
        record
    }

    #[test]
    fn a_stack_is_read_as_the_kernel_wrote_it() {
        let event = Event::parse(&stack_record(2, &[0x10, 0x20]));
        let frames = vec![0x10, 0x20];
        assert_eq!(
            event,
            Event::Stack(NewStack { space: Space(7), stack: StackId(0xabcd), frames })
        );
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
        assert_eq!(Event::parse(&[9, 0, 0, 0, 0, 0, 0, 0]), Event::Malformed);
        assert_eq!(Event::parse(&stack_record(3, &[0x10, 0x20])), Event::Malformed, "cut short");
    }
}
