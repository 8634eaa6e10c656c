//! Copies of Python's code objects among the events.

use std::mem::offset_of;

use tracer_common::{PythonCodeEvent, Space};

use super::events::{u32_at, u64_at};
use crate::python::CodeCopy;

/// A code object of Python's, and what it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCode {
    /// The address space that it was seen in.
    pub space: Space,
    /// The copy.
    pub copy: CodeCopy,
}

/// Reads the record of one; `None` where it is cut short.
pub(super) fn parse(record: &[u8], space: Space) -> Option<NewCode> {
    let mut objects = record.get(PythonCodeEvent::HEAD..)?;
    let mut next = |len_at| {
        let len = u32_at(record, len_at)? as usize;
        let (object, rest) = objects.split_at_checked(len.next_multiple_of(size_of::<u64>()))?;
        objects = rest;
        Some(object[..len].to_vec())
    };
    let copy = CodeCopy {
        code: u64_at(record, offset_of!(PythonCodeEvent, code))?,
        checksum: u32_at(record, offset_of!(PythonCodeEvent, checksum))?,
        head: *record.get(offset_of!(PythonCodeEvent, head)..)?.first_chunk()?,
        file: next(offset_of!(PythonCodeEvent, file_len))?,
        name: next(offset_of!(PythonCodeEvent, name_len))?,
        lines: next(offset_of!(PythonCodeEvent, lines_len))?,
    };
    Some(NewCode { space, copy })
}

#[cfg(test)]
mod tests {
    use tracer_common::PYTHON_CODE_BYTES;

    use super::*;
    use crate::bpf::Event;

    #[test]
    fn a_code_object_is_read_as_the_kernel_wrote_it() {
        let mut record = Vec::new();
        record.extend(11_u32.to_ne_bytes());
        record.extend(7_u32.to_ne_bytes());
        record.extend(0xabcd_u64.to_ne_bytes());
        for word in [5_u32, 3, 0, 8] {
            record.extend(word.to_ne_bytes());
        }
        record.extend([9; PYTHON_CODE_BYTES]);
        record.extend(b"abc\0\0\0\0\0");
        record.extend(b"12345678");
        let copy = CodeCopy {
            code: 0xabcd,
            checksum: 5,
            head: [9; PYTHON_CODE_BYTES],
            file: b"abc".to_vec(),
            name: Vec::new(),
            lines: b"12345678".to_vec(),
        };
        let code = NewCode { space: Space(7), copy };
        assert_eq!(Event::parse(&record), Event::PythonCode(Box::new(code)));
        record.pop();
        assert_eq!(Event::parse(&record), Event::Malformed, "cut short");
        assert_eq!(Event::parse(&record[..100]), Event::Malformed);
    }
}
