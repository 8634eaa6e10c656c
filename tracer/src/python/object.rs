//! Objects of Python's, read so that nothing else is taken for one: by their type, and by how often they are referred to.
//! What was freed has the allocator's pointer in place of that count, or 0.

use tracer_common::PythonWalk;

use super::{Memory, layout::Layout};

/// `PyObject`: how often it is referred to, and its type.
const COUNT: usize = 0;
const TYPE: usize = 8;

/// Where an object's bytes come from: the target's memory as it is now, or a copy of it that was made earlier.
pub(super) trait Source {
    /// So many bytes from `address` on; `None` where there are less.
    fn bytes(&self, address: u64, len: usize) -> Option<Vec<u8>>;
}

impl Source for Memory {
    fn bytes(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        Self::bytes(self, address, len)
    }
}

/// Why an object was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its memory is not there, or of a form that is not known.
    Unreadable,
    /// It is not what it was, or ought to be.
    Stale,
}

/// Reads objects of an interpreter's.
pub(super) struct Objects<'a, S> {
    pub(super) source: &'a S,
    pub(super) layout: &'a Layout,
}

/// The beginning of an object.
pub(super) struct Head(Vec<u8>);

impl<S: Source> Objects<'_, S> {
    /// The first `len` bytes of an object, which is alive and of this type.
    pub(super) fn head(&self, address: u64, of_type: u64, len: usize) -> Result<Head, Fault> {
        let head = Head(self.bytes(address, len)?);
        if head.u64(TYPE) == of_type && is_alive(head.u64(COUNT), self.layout.walk) {
            Ok(head)
        } else {
            Err(Fault::Stale)
        }
    }

    pub(super) fn bytes(&self, address: u64, len: usize) -> Result<Vec<u8>, Fault> {
        self.source.bytes(address, len).ok_or(Fault::Unreadable)
    }
}

impl Head {
    /// The word at an offset. What is beyond the end is 0.
    pub(super) fn u64(&self, at: usize) -> u64 {
        self.0.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
    }

    /// Half of a word, likewise.
    pub(super) fn u32(&self, at: usize) -> u32 {
        self.0.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |half| u32::from_le_bytes(*half))
    }
}

/// Whether an object may be referred to so often. From 3.12 on the count has 32 bits, and those that live for ever have the
/// highest one set.
fn is_alive(count: u64, walk: PythonWalk) -> bool {
    let most = if walk == PythonWalk::Shim { u32::MAX.into() } else { i32::MAX as u64 };
    (1..=most).contains(&count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_or_nothing_is_no_count() {
        for walk in [PythonWalk::Each, PythonWalk::Entry, PythonWalk::Shim] {
            assert!(is_alive(1, walk) && is_alive(999_999_999, walk));
            assert!(!is_alive(0, walk) && !is_alive(0x7fff_1234_5670, walk));
        }
        assert!(is_alive(0xffff_ffff, PythonWalk::Shim), "immortal");
        assert!(!is_alive(0xffff_ffff, PythonWalk::Entry));
    }
}
