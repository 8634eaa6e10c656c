//! The ring buffer's records, made safe to handle.

use tracer_common::{EventHeader, EventKind, Space, StackEvent, StackId};

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
            EventKind::Mark => Self::Mark,
            EventKind::Exec => Self::Exec,
            EventKind::Objects => Self::Objects,
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
        assert_eq!(event, Event::Stack(NewStack { space: Space(7), stack: StackId(0xabcd), frames }));
    }

    #[test]
    fn what_makes_no_sense_is_malformed() {
        assert_eq!(Event::parse(&[]), Event::Malformed);
        assert_eq!(Event::parse(&[9, 0, 0, 0, 0, 0, 0, 0]), Event::Malformed);
        assert_eq!(Event::parse(&stack_record(3, &[0x10, 0x20])), Event::Malformed, "cut short");
    }
}
