//! Objects that are not what they should be: rules may be missing, nothing may break.

use std::fs;

use object::{Object, ObjectSection};
use proptest::{prelude::*, sample::Index};

use super::{super::build, stretches};
use crate::units::ElfAddr;

/// Small, and with rules of nearly every kind. Where there is none, an object of ours is good enough.
fn object() -> Vec<u8> {
    fs::read("/lib64/ld-linux-x86-64.so.2").unwrap_or_default()
}

/// Whatever comes out can be asked for any address.
fn survive(object: &[u8]) {
    let Ok(Some(tables)) = build(object) else { return };
    for table in &tables.tables {
        let rows = stretches(table);
        for &(start, end, rule) in [rows.first(), rows.last()].into_iter().flatten() {
            assert_eq!(table.rule_at(ElfAddr(start)), rule);
            assert_eq!(table.rule_at(ElfAddr(end - 1)), rule);
        }
    }
    let escapes = tables.tables.iter().filter_map(|table| table.escape(u32::MAX)).count();
    assert_eq!(escapes, 0);
    tables.rule_at(ElfAddr(0));
    tables.rule_at(ElfAddr(u64::MAX));
}

/// Where the parts of the file lie that are read: the headers, and call frame information.
fn parts(object: &[u8]) -> Vec<(usize, usize)> {
    let mut parts = vec![(0, object.len().min(64 + 12 * 56))];
    if let Ok(file) = object::File::parse(object) {
        let sections = file.sections();
        let frames = sections.filter(|it| it.name().is_ok_and(|name| name.contains("eh_frame")));
        parts.extend(
            frames.filter_map(|it| it.file_range()).map(|(at, len)| (at as usize, len as usize)),
        );
        parts.push((object.len() - object.len().min(40 * 64), object.len().min(40 * 64)));
    }
    parts
}

#[test]
fn truncated_files() {
    let object = object();
    for len in (0..80.min(object.len())).chain((0..object.len()).step_by(4001)) {
        survive(&object[..len]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes(
        part in any::<Index>(),
        flips in prop::collection::vec((any::<Index>(), any::<u8>()), 1..12),
    ) {
        let mut object = object();
        if object.is_empty() {
            return Ok(());
        }
        let parts = parts(&object);
        let (at, len) = parts[part.index(parts.len())];
        for (index, byte) in flips {
            object[at + index.index(len)] = byte;
        }
        survive(&object);
    }
}

#[test]
fn parts_full_of_garbage() {
    let good = object();
    for (at, len) in parts(&good) {
        for byte in [0, 0x01, 0x7f, 0x80, 0xff] {
            let mut bad = good.clone();
            // The magic number stays, or nothing else would be read.
            bad[at.max(20)..at + len].fill(byte);
            survive(&bad);
        }
    }
}
