//! Objects that are not what they should be: answers may be missing, nothing may break.

use std::fs;

use object::{Object, ObjectSection};

use super::program::{Program, shown};
use crate::units::ElfAddr;

/// A small generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Symbolizes with `data` as the program; there is always at least the frame's place.
fn survive(program: &Program, data: &[u8], address: ElfAddr) {
    fs::remove_file(&program.path).unwrap();
    fs::write(&program.path, data).unwrap();
    let frames = program.frames(address);
    assert_eq!(frames.last().map(|frame| frame.address), Some(address.0));
}

#[test]
fn truncated_files() {
    let program = Program::c(&["-g", "-O2"]);
    let (address, _) = program.first_call("parse_header");
    let data = fs::read(&program.path).unwrap();
    for len in (0..80).chain((80..data.len()).step_by(data.len() / 60)) {
        survive(&program, &data[..len], address);
    }
}

#[test]
fn flipped_bytes_in_each_section_and_the_headers() {
    let program = Program::c(&["-g", "-O2"]);
    let (address, _) = program.first_call("parse_header");
    let good = fs::read(&program.path).unwrap();
    let file = object::File::parse(&*good).unwrap();
    let mut parts: Vec<(usize, usize)> = file
        .sections()
        .filter(|it| it.name().is_ok_and(|name| name.starts_with(".debug") || name.contains("tab")))
        .filter_map(|it| it.file_range())
        .map(|(at, size)| (at as usize, size as usize))
        .collect();
    parts.push((0, 64));
    parts.push((good.len() - 40 * 64, 40 * 64));
    let mut random = Random(42);
    for (at, size) in parts.into_iter().filter(|(_, size)| *size > 0) {
        for _ in 0..25 {
            let mut bad = good.clone();
            for _ in 0..=random.below(4) {
                bad[at + random.below(size)] = random.below(256) as u8;
            }
            survive(&program, &bad, address);
        }
        let mut bad = good.clone();
        bad[at..at + size].fill_with(|| random.below(256) as u8);
        survive(&program, &bad, address);
        bad[at..at + size].fill(0xff);
        survive(&program, &bad, address);
    }
}

/// DWARF is lost, the symbol table is not.
#[test]
fn garbage_debug_information_leaves_the_symbols() {
    let program = Program::c(&["-g", "-O2"]);
    let (address, _) = program.first_call("parse_header");
    let mut data = fs::read(&program.path).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let (at, size) = file.section_by_name(".debug_info").unwrap().file_range().unwrap();
    data[at as usize..(at + size) as usize].fill(0xff);
    survive(&program, &data, address);
    let frames = program.frames(address);
    assert_eq!(shown(&frames), [(Some("parse_header"), None, None, None, false)]);
}

#[test]
fn names_cannot_carry_terminal_escapes() {
    let program = Program::c(&["-O2"]);
    let (address, _) = program.first_call("parse_header");
    let mut data = fs::read(&program.path).unwrap();
    let at = data.windows(13).position(|bytes| bytes == b"parse_header\0").unwrap();
    data[at + 4..at + 12].copy_from_slice(b"\x1b[31m\r\nX");
    fs::write(&program.path, &data).unwrap();
    let name = program.frames(address)[0].function.clone().unwrap();
    assert_eq!(name, "pars\u{fffd}[31m\u{fffd}\u{fffd}X");
}

#[test]
fn a_file_that_is_no_elf() {
    let program = Program::c(&["-O2"]);
    survive(&program, b"#!/bin/sh\nexit 0\n", ElfAddr(16));
    survive(&program, b"", ElfAddr(16));
}
