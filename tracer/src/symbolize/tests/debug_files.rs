//! Stripped objects, and where their debug files are.

use std::{
    fs::{self, File},
    path::Path,
};

use object::Object as _;

use super::program::{Program, Shown, put, shown};
use crate::{
    symbolize::{Symbolizer, elf::Elf, image::Image, object::Object},
    target::{Location, ModuleId},
    units::ElfAddr,
};

const LEAK: Shown<'_> = (Some("leak"), Some("/app.c"), Some(4), Some("char *p = sink(n);"), true);
const HEADER: Shown<'_> = (
    Some("parse_header"),
    Some("/app.c"),
    Some(9),
    Some("char *p = leak(n + 7);  // grows"),
    false,
);

/// Splits the debug information off into `app.debug`, with or without a link to it.
fn split(id: &str, link: bool) -> (Program, ElfAddr) {
    let program = Program::c(&["-g", "-O2", &format!("-Wl,--build-id={id}")]);
    let (address, _) = program.first_call("parse_header");
    program.tool("objcopy", &["--only-keep-debug", "app", "app.debug"]);
    program.tool("strip", &["app"]);
    if link {
        program.tool("objcopy", &["--add-gnu-debuglink=app.debug", "app"]);
    }
    (program, address)
}

fn assert_full(program: &Program, address: ElfAddr) {
    assert_eq!(shown(&program.frames(address)), [LEAK, HEADER]);
}

fn assert_nothing(program: &Program, address: ElfAddr) {
    assert_eq!(shown(&program.frames(address)), [(None, None, None, None, false)]);
}

#[test]
fn by_build_id() {
    let (program, address) = split("0xab12cdef34567890", false);
    let from = program.root.path().join("app.debug");
    assert_nothing(&program, address);
    put(program.root.path(), "usr/lib/debug/.build-id/ab/12cdef34567890.debug", &from);
    assert_full(&program, address);
}

#[test]
fn by_link_beside_the_object_and_below_debug_directories() {
    for place in ["app.debug", ".debug/app.debug", "usr/lib/debug/app.debug"] {
        for id in ["none", "sha1"] {
            let (program, address) = split(id, true);
            let from = program.root.path().join("app.debug");
            put(program.root.path(), place, &from);
            assert_full(&program, address);
        }
    }
}

#[test]
fn another_builds_debug_file_is_not_used() {
    for id in ["none", "sha1"] {
        let (program, address) = split(id, true);
        let other = Program::c(&["-g", "-O0", &format!("-Wl,--build-id={id}")]);
        fs::copy(&other.path, program.root.path().join("app.debug")).unwrap();
        assert_nothing(&program, address);
    }
}

/// The link is the target's word; it must not lead to other directories.
#[test]
fn a_link_with_directories_is_not_followed() {
    let (program, address) = split("none", true);
    let from = program.root.path().join("app.debug");
    put(program.root.path(), "a/pp.debug", &from);
    let mut app = fs::read(&program.path).unwrap();
    let at = app.windows(9).position(|bytes| bytes == b"app.debug").unwrap();
    app[at..at + 9].copy_from_slice(b"a/p.debug");
    fs::rename(program.root.path().join("a/pp.debug"), program.root.path().join("a/p.debug"))
        .unwrap();
    fs::write(&program.path, app).unwrap();
    assert_nothing(&program, address);
}

#[test]
fn a_link_to_a_fifo_does_not_hang() {
    let (program, address) = split("none", true);
    fs::remove_file(program.root.path().join("app.debug")).unwrap();
    program.tool("mkfifo", &["app.debug"]);
    assert_nothing(&program, address);
}

#[test]
fn compressed_debug_information_is_read() {
    let program = Program::c(&["-g", "-O2", "-gz=zlib"]);
    let (address, _) = program.first_call("parse_header");
    assert_full(&program, address);
}

#[test]
fn a_deleted_file_is_read_through_its_descriptor() {
    let program = Program::c(&["-g", "-O2"]);
    let (address, _) = program.first_call("parse_header");
    let module = program.module();
    fs::remove_file(&program.path).unwrap();
    let stack = vec![Location::InModule(ModuleId(0), address)];
    let found =
        Symbolizer::new(Some(program.source_root())).symbolize(&[module], &[stack], |_| None);
    assert_eq!(shown(&found[0]), [LEAK, HEADER]);
}

#[test]
fn above_the_limit_there_are_symbols() {
    let program = Program::c(&["-g", "-O2"]);
    let (address, start) = program.first_call("parse_header");
    let mut small = 100;
    let mut object = Object::load(&program.module(), &[], &mut small);
    let found = object.resolve(&[address.0 - 1]).remove(0).unwrap();
    assert_eq!((found.function.as_deref(), found.start), (Some("parse_header"), start));
    assert_eq!((found.place, found.inlined, small), (None, Vec::new(), 100));
    let mut ample = 1 << 20;
    let mut object = Object::load(&program.module(), &[], &mut ample);
    assert!(object.resolve(&[address.0 - 1]).remove(0).unwrap().place.is_some());
    assert!(ample < 1 << 20);
}

/// blazesym would follow it by itself, as root, wherever the target says.
#[test]
fn the_copy_has_no_link() {
    let (program, _) = split("none", true);
    let links = |path: &Path| {
        let data = fs::read(path).unwrap();
        let file = object::File::parse(&*data).unwrap();
        file.section_by_name(".gnu_debuglink").is_some()
    };
    let file = File::open(&program.path).unwrap();
    let elf = Elf::read(file.try_clone().unwrap()).unwrap();
    let image = Image::copy(&file, &elf, &mut 0).unwrap();
    assert!(links(&program.path) && !links(&image.path()));
}
