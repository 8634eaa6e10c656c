//! Code objects in memory of our own.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use tracer_common::{PYTHON_CODE_BYTES, PYTHON_CODE_WORDS, PythonFrame, python_checksum};

use super::{Fault, Objects, PythonCode, Reader, Source};
use crate::python::{CodeCopy, Version, layout::Layout, places::Places};

const PLACES: Places = Places {
    runtime: 0,
    initialized: 0,
    head: 0,
    key: 0,
    code_type: 0xc0de,
    text_type: 0x7e87,
    bytes_type: 0xb17e5,
    none: 0,
};
const CODE: u64 = 0x1000;
const FILE: u64 = 0x2000;
const NAME: u64 = 0x3000;
const LINES: u64 = 0x4000;
/// What a freed block begins with.
const FREE_LIST: u64 = 0x7f00_1234_5670;

/// Objects by their address, and what becomes of them after so many reads.
struct Fake {
    objects: RefCell<BTreeMap<u64, Vec<u8>>>,
    reads: Cell<usize>,
    later: Option<(usize, u64, usize, u64)>,
}

impl Source for Fake {
    fn bytes(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let mut objects = self.objects.borrow_mut();
        if let Some((reads, object, at, word)) = self.later
            && reads == self.reads.get()
        {
            put(objects.get_mut(&object)?, at, word);
        }
        self.reads.set(self.reads.get() + 1);
        let (start, object) = objects.range(..=address).next_back()?;
        let from = (address - start) as usize;
        object.get(from..from + len).map(<[u8]>::to_vec)
    }
}

fn put(object: &mut [u8], at: usize, word: u64) {
    object[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

/// An object that is referred to once, with words at offsets, and what follows.
fn object(of_type: u64, len: usize, words: &[(usize, u64)], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    put(&mut bytes, 0, 1);
    put(&mut bytes, 8, of_type);
    for &(at, word) in words {
        put(&mut bytes, at, word);
    }
    bytes.extend(data);
    bytes
}

fn layout() -> Layout {
    Layout::of(Version { major: 3, minor: 12, micro: 1 }).expect("a known one")
}

/// `made`, of `x.py`, from line 7: one instruction of the line after.
fn fake() -> Fake {
    let (layout, text_state) = (layout(), 1 << 2 | 1 << 5 | 1 << 6);
    let members = [
        (layout.code.file as usize, FILE),
        (layout.code.qualified_name as usize, NAME),
        (layout.code.line_table as usize, LINES),
        (64, 7 << 32),
    ];
    let head = layout.text.ascii as usize;
    let text = |text: &[u8]| {
        let words = [(16, text.len() as u64), (32, text_state)];
        object(PLACES.text_type, head, &words, text)
    };
    let lines = [0x80 | 11 << 3, 0x80, 0x80];
    let objects = BTreeMap::from([
        (CODE, object(PLACES.code_type, PYTHON_CODE_BYTES, &members, &[])),
        (FILE, text(b"x.py")),
        (NAME, text(b"made")),
        (LINES, object(PLACES.bytes_type, 32, &[(16, lines.len() as u64)], &lines)),
    ]);
    Fake { objects: RefCell::new(objects), reads: Cell::new(0), later: None }
}

fn frame(fake: &Fake) -> PythonFrame {
    let objects = fake.objects.borrow();
    let identity = &objects[&CODE][layout().code.identity as usize..];
    let words: [u64; PYTHON_CODE_WORDS] = std::array::from_fn(|word| {
        u64::from_le_bytes(identity[word * 8..word * 8 + 8].try_into().expect("8 bytes"))
    });
    PythonFrame { code: CODE, checksum: python_checksum(&words), instruction: 0 }
}

fn read<S: Source>(source: &S, frame: &PythonFrame) -> Result<PythonCode, Fault> {
    let layout = layout();
    Reader { objects: Objects { source, layout: &layout }, places: &PLACES }.read(frame)
}

#[test]
fn a_code_object_is_read() {
    let fake = fake();
    let code = read(&fake, &frame(&fake)).expect("it is there");
    assert_eq!((code.file.as_str(), code.name.as_str(), code.first_line), ("x.py", "made", 7));
    assert_eq!((code.line_of(-1), code.line_of(0), code.line_of(1)), (Some(7), Some(8), None));
}

#[test]
fn another_one_at_its_place_is_stale() {
    let fake = fake();
    let frame = frame(&fake);
    let other = PythonFrame { checksum: frame.checksum ^ 1, ..frame };
    assert_eq!(read(&fake, &other), Err(Fault::Stale));
    let any = PythonFrame { checksum: 0, ..frame };
    assert!(read(&fake, &any).is_ok(), "its checksum could not be read");
}

#[test]
fn whatever_is_freed_or_reused_at_whatever_time_is_stale() {
    let frame = frame(&fake());
    let whole = fake();
    read(&whole, &frame).expect("it is there");
    let reads = whole.reads.get();
    for after in 0..reads {
        // A name may be overwritten only once the code object was freed: that is what its last look tells.
        for (address, at, word) in [(CODE, 0, FREE_LIST), (CODE, 0, 0), (CODE, 8, 0x11)] {
            let fake = Fake { later: Some((after, address, at, word)), ..fake() };
            assert_eq!(read(&fake, &frame), Err(Fault::Stale), "{address:#x} after {after}");
        }
    }
    for address in [FILE, NAME, LINES] {
        for (at, word) in [(0, FREE_LIST), (0, 0), (8, 0x11)] {
            let fake = Fake { later: Some((0, address, at, word)), ..fake() };
            assert_eq!(read(&fake, &frame), Err(Fault::Stale), "{address:#x}");
        }
    }
}

#[test]
fn a_copy_is_read_in_the_same_way() {
    let fake = fake();
    let frame = frame(&fake);
    let part = |address| fake.objects.borrow()[&address].clone();
    let mut copy = CodeCopy {
        code: CODE,
        checksum: frame.checksum,
        head: *part(CODE).first_chunk().expect("as long"),
        file: part(FILE),
        name: part(NAME),
        lines: part(LINES),
    };
    assert_eq!(read(&copy.parts(&layout().code), &frame), read(&fake, &frame));
    copy.lines.clear();
    let code = read(&copy.parts(&layout().code), &frame).expect("names are there");
    assert_eq!((code.name.as_str(), code.lines), ("made", None), "a table that was too long");
    copy.file.clear();
    assert_eq!(read(&copy.parts(&layout().code), &frame), Err(Fault::Unreadable));
    copy.head[8] ^= 1;
    assert_eq!(read(&copy.parts(&layout().code), &frame), Err(Fault::Stale), "no code object");
}
