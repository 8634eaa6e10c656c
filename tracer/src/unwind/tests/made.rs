//! What tables do with cases that few objects have.

use std::fs;

use gimli::{BaseAddresses, EhFrame, LittleEndian};
use object::{Object, ObjectSegment};
use tracer_common::unwind::{BpRule, Escape, Rule, RuleKind};

use super::{
    super::{
        build,
        entries::{Cies, Entry, Source, collect},
        rule::Step,
        writer::Writer,
    },
    stretches,
};
use crate::units::ElfAddr;

/// A common entry: addresses are plain 8 bytes, the CFA is rsp + 8, the return address right below it.
const CIE: &[u8] = b"\x14\0\0\0\0\0\0\0\x01\0\x01\x78\x10\x0c\x07\x08\x90\x01\0\0\0\0\0\0";

/// A section of functions at these addresses, all with the same common entry.
struct Section(Vec<u8>);

impl Section {
    fn new() -> Self {
        Self(CIE.to_vec())
    }

    fn with(mut self, start: u64, len: u64) -> Self {
        let back = self.0.len() as u32 + 4;
        self.0.extend(20_u32.to_le_bytes());
        self.0.extend(back.to_le_bytes());
        self.0.extend(start.to_le_bytes());
        self.0.extend(len.to_le_bytes());
        self
    }

    fn with_terminator(mut self) -> Self {
        self.0.extend([0; 4]);
        self
    }

    fn entries(&self, sized: bool) -> Vec<(u64, u64)> {
        let frames = EhFrame::new(&self.0, LittleEndian);
        let bases = BaseAddresses::default().set_eh_frame(0);
        let code = 0x1000..0x9000;
        collect(&frames, &bases, &mut Cies::new(), &[code], sized)
            .into_iter()
            .map(|Entry { code, source }| {
                assert!(matches!(source, Source::Fde(_)));
                (code.start, code.end)
            })
            .collect()
    }
}

#[test]
fn entries_are_sorted_and_end_where_the_next_one_starts() {
    let section = Section::new()
        .with(0x3000, 0x10)
        .with(0x1000, 0x100)
        .with(0x1080, 0x10)
        .with(0x3000, 0x20)
        .with(0x2000, 0)
        .with(0x10, 0x10);
    assert_eq!(section.entries(true), [(0x1000, 0x1080), (0x1080, 0x1090), (0x3000, 0x3010)]);
}

#[test]
fn a_terminator_is_the_end_only_where_nothing_else_says() {
    let section = Section::new().with(0x1000, 0x10).with_terminator().with(0x2000, 0x10);
    assert_eq!(section.entries(true), [(0x1000, 0x1010), (0x2000, 0x2010)]);
    assert_eq!(section.entries(false), [(0x1000, 0x1010)]);
}

fn rsp(words: u32) -> Step {
    Step::Rule(Rule::new(RuleKind::Rsp, BpRule::Same, words, 0))
}

#[test]
fn a_full_table_is_followed_by_another() {
    let mut writer = Writer::with_capacity(3);
    let escape = |number| Escape { cfa_offset: number, ..Escape::default() };
    for at in 0..10 {
        writer.push(0x100 + at * 16, rsp(at as u32));
        writer.push(0x108 + at * 16, Step::Escape(escape(at as i32 / 2)));
    }
    let tables = writer.finish(0x1a0);
    assert_eq!((tables.rows, tables.tables.len()), (20, 7));
    for at in 0..10_u64 {
        let address = ElfAddr(0x107 + at * 16);
        assert_eq!(Step::Rule(tables.rule_at(address)), rsp(at as u32));
        let address = ElfAddr(0x10f + at * 16);
        let (table, rule) = (tables.table_at(address).unwrap(), tables.rule_at(address));
        assert_eq!(rule.kind(), RuleKind::Escape as u32);
        assert_eq!(table.escape(rule.b()), Some(escape(at as i32 / 2)));
    }
    assert_eq!(tables.rule_at(ElfAddr(0xff)), Rule::NONE);
    assert_eq!(tables.rule_at(ElfAddr(0x1a0)), Rule::NONE);
}

#[test]
fn a_table_holds_as_many_escapes_as_a_rule_can_number() {
    let mut writer = Writer::new();
    let escape = |number| Escape { ra_offset: number, ..Escape::default() };
    for at in 0..8_200_u32 {
        writer.push(0x100 + u64::from(at), Step::Escape(escape(at as i32)));
    }
    let tables = writer.finish(0x4000);
    assert_eq!(tables.tables.len(), 2);
    for at in [0, 255, 256, 8_191, 8_192, 8_199_u32] {
        let address = ElfAddr(0x100 + u64::from(at));
        let number = tables.rule_at(address).b();
        assert_eq!(tables.table_at(address).unwrap().escape(number), Some(escape(at as i32)));
    }
}

#[test]
fn rows_that_pcs_do_not_reach_go_into_another_table() {
    let mut writer = Writer::new();
    writer.push(0x1000, rsp(1));
    writer.push(0x1010, Step::Rule(Rule::NONE));
    writer.push(0x9_0000_1000, rsp(2));
    let tables = writer.finish(0x9_0000_2000);
    assert_eq!(tables.tables.len(), 2);
    assert_eq!(Step::Rule(tables.rule_at(ElfAddr(0x100f))), rsp(1));
    assert_eq!(tables.rule_at(ElfAddr(0x2_0000_0000)), Rule::NONE);
    assert_eq!(Step::Rule(tables.rule_at(ElfAddr(0x9_0000_1fff))), rsp(2));
}

#[test]
fn a_row_as_its_predecessor_is_dropped() {
    let mut writer = Writer::new();
    for (address, words) in [(0x10, 1), (0x20, 1), (0x30, 2), (0x40, 1)] {
        writer.push(address, rsp(words));
    }
    let tables = writer.finish(0x50);
    let starts: Vec<_> = stretches(&tables.tables[0]).into_iter().map(|row| row.0).collect();
    assert_eq!(starts, [0x10, 0x30, 0x40]);
}

#[test]
fn outermost_functions_of_musl() {
    let Ok(bytes) = fs::read("/lib/ld-musl-x86_64.so.1") else {
        println!("skipped: musl is not installed");
        return;
    };
    let object = object::File::parse(&*bytes).unwrap();
    let tables = build(&bytes).unwrap().unwrap();
    let entry = object.entry();
    // Where the call in it returns to, less one.
    assert_eq!(tables.rule_at(ElfAddr(entry + 21)), Rule::STOP);
    assert_eq!(tables.rule_at(ElfAddr(entry - 1)), Rule::NONE);

    let call = b"\x41\xff\xd1\x89\xc7\x31\xc0\xb0\x3c\x0f\x05";
    let call = object
        .segments()
        .find_map(|segment| {
            let at = segment.data().ok()?.windows(call.len()).position(|it| it == call)?;
            Some(segment.address() + at as u64)
        })
        .unwrap();
    assert_eq!(tables.rule_at(ElfAddr(call - 1)), Rule::NONE);
    assert_eq!(tables.rule_at(ElfAddr(call + 2)), Rule::STOP);
    assert_eq!(tables.rule_at(ElfAddr(call + 11)), Rule::NONE);
}

/// The C library has one of each: `__restore_rt`, `clone3`, and a procedure linkage table.
#[test]
fn special_rules_of_the_c_library() {
    let Ok(bytes) = fs::read("/lib/x86_64-linux-gnu/libc.so.6") else {
        println!("skipped: no C library where Debian has it");
        return;
    };
    let tables = build(&bytes).unwrap().unwrap();
    let rules: Vec<_> = tables.tables.iter().flat_map(stretches).map(|row| row.2).collect();
    for rule in [Rule::SIGNAL, Rule::STOP, Rule::new(RuleKind::Plt, BpRule::Same, 11, 0)] {
        assert!(rules.contains(&rule), "{rule:?}");
    }
}

#[test]
fn what_is_no_object_is_an_error() {
    let error = build(b"#!/bin/sh\n").unwrap_err();
    assert_eq!(error.to_string(), "no unwind tables: not an ELF object");
}
