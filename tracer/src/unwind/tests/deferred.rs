//! This process's own stack, from a copy, against what the C compiler's runtime says of it.

use std::{arch::asm, ffi::c_void, fs, fs::File, hint::black_box, os::unix::fs::FileExt};

use object::{Object, ObjectSegment};
use tracer_common::{UnwindStatus, limits::MAX_FRAMES, unwind::Rule};

use super::super::{Deferred, Mapping, Tables, build};
use crate::units::{Addr, ElfAddr};

unsafe extern "C" {
    fn _Unwind_Backtrace(
        each: extern "C" fn(*mut c_void, *mut c_void) -> i32,
        frames: *mut c_void,
    ) -> i32;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

extern "C" fn note(context: *mut c_void, frames: *mut c_void) -> i32 {
    // SAFETY: `frames` is what `capture` passed, and `context` is valid during this call.
    let (frames, ip) = unsafe { (&mut *frames.cast::<Vec<u64>>(), _Unwind_GetIP(context)) };
    // After the outermost function comes a 0.
    frames.extend((ip != 0).then_some(ip as u64));
    0
}

/// A stack as it was in `capture`.
struct Captured {
    ip: u64,
    sp: u64,
    bp: u64,
    stack: Vec<u8>,
    /// Return addresses by the C compiler's runtime, that into `capture` first.
    expected: Vec<u64>,
}

#[inline(never)]
fn capture() -> Captured {
    let (ip, sp, bp): (u64, u64, u64);
    // SAFETY: only reads registers.
    unsafe {
        asm!("lea {}, [rip]", "mov {}, rsp", "mov {}, rbp", out(reg) ip, out(reg) sp, out(reg) bp);
    }
    let mut expected: Vec<u64> = Vec::with_capacity(1024);
    // SAFETY: `note` gets the vector back while it is borrowed by nobody else.
    unsafe { _Unwind_Backtrace(note, (&raw mut expected).cast()) };
    let mut stack = vec![0; 256 << 10];
    let len = File::open("/proc/self/mem").unwrap().read_at(&mut stack, sp).unwrap();
    stack.truncate(len);
    Captured { ip, sp, bp, stack, expected }
}

#[inline(never)]
fn nested(depth: usize) -> Captured {
    let captured = if depth == 0 { capture() } else { nested(depth - 1) };
    black_box(captured)
}

/// Code of this process: where it is, what it lacks to the object's own addresses, and its tables.
struct Code {
    start: u64,
    end: u64,
    bias: u64,
    object: Vec<u8>,
    tables: Option<Tables>,
}

fn code() -> Vec<Code> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut code = Vec::new();
    for line in maps.lines() {
        let parts: Vec<_> = line.split_whitespace().collect();
        let [addresses, "r-xp", offset, _, _, path] = parts[..] else { continue };
        let Ok(object) = fs::read(path) else { continue };
        let (start, end) = addresses.split_once('-').unwrap();
        let number = |hex| u64::from_str_radix(hex, 16).unwrap();
        let (start, end, offset) = (number(start), number(end), number(offset));
        let file = object::File::parse(&*object).unwrap();
        let segment = file.segments().find(|it| {
            let (at, len) = it.file_range();
            (at & !0xfff..at + len).contains(&offset)
                && matches!(it.flags(), object::SegmentFlags::Elf { p_flags } if p_flags & 1 != 0)
        });
        let segment = segment.unwrap();
        let address = segment.address().wrapping_sub(segment.file_range().0).wrapping_add(offset);
        let tables = build(&object).unwrap();
        code.push(Code { start, end, bias: start.wrapping_sub(address), object, tables });
    }
    code
}

fn deferred(code: &[Code]) -> Deferred {
    let mut deferred = Deferred::new();
    deferred.set_code(mappings(code));
    deferred
}

fn mappings(code: &[Code]) -> Vec<Mapping> {
    let mapping = |(object, it): (_, &Code)| {
        let (start, end) = (Addr(it.start), Addr(it.end));
        Mapping { start, end, bias: it.bias, object }
    };
    (0..).zip(code).map(mapping).collect()
}

fn rule_at(code: &[Code], address: Addr) -> Rule {
    let found = code.iter().find(|it| (it.start..it.end).contains(&address.0));
    let Some(Code { bias, tables: Some(tables), .. }) = found else { return Rule::NONE };
    tables.rule_at(ElfAddr(address.0.wrapping_sub(*bias)))
}

fn read(code: &[Code], object: u32) -> Option<Vec<u8>> {
    code.get(object as usize).map(|it| it.object.clone())
}

/// The code addresses alone.
fn unwind(
    deferred: &mut Deferred,
    ip: u64,
    sp: u64,
    bp: u64,
    stack: &[u8],
    rule: impl Fn(Addr) -> Rule,
    read: impl FnMut(u32) -> Option<Vec<u8>>,
) -> (Vec<u64>, UnwindStatus) {
    let (frames, status) = deferred.unwind(ip, sp, bp, stack, rule, read);
    assert!(frames.is_sorted_by(|inner, outer| inner.sp < outer.sp));
    (frames.into_iter().map(|frame| frame.ip).collect(), status)
}

#[test]
fn a_whole_stack() {
    let code = code();
    for depth in [0, 1, 40] {
        let Captured { ip, sp, bp, stack, expected } = nested(depth);
        let rule = |address| rule_at(&code, address);
        let (frames, status) =
            unwind(&mut deferred(&code), ip, sp, bp, &stack, rule, |it| read(&code, it));
        assert_eq!(frames[0], ip);
        assert_eq!(frames[1..], expected[1..], "{status:?} {frames:x?} {expected:x?}");
        assert_eq!(status, UnwindStatus::Complete);
    }
}

#[test]
fn what_ends_a_stack_early() {
    let code = code();
    let Captured { ip, sp, bp, stack, expected } = nested(MAX_FRAMES);
    let rule = |address| rule_at(&code, address);
    let read = |object| read(&code, object);
    let mut deferred = deferred(&code);

    let (frames, status) = unwind(&mut deferred, ip, sp, bp, &stack, rule, read);
    assert_eq!((frames.len(), status), (MAX_FRAMES, UnwindStatus::Depth));
    assert_eq!(frames[1..], expected[1..MAX_FRAMES]);

    for len in [0, 3, 1000, 8 << 10] {
        let (frames, status) = unwind(&mut deferred, ip, sp, bp, &stack[..len], rule, read);
        assert_eq!(status, UnwindStatus::ReadFault);
        assert_eq!(frames[1..], expected[1..frames.len()]);
    }

    let (frames, status) = unwind(&mut deferred, ip, sp, bp, &stack, |_| Rule::UNSUPPORTED, read);
    assert_eq!((frames, status), (vec![ip], UnwindStatus::UnsupportedRule));
    let (frames, status) = unwind(&mut deferred, ip, sp, 0, &stack, |_| Rule::NONE, read);
    assert_eq!((frames, status), (vec![ip], UnwindStatus::NoRule));
    let (frames, status) = unwind(&mut deferred, ip, sp, bp, &stack, |_| Rule::STOP, read);
    assert_eq!((frames, status), (vec![ip], UnwindStatus::Complete));

    deferred.set_code([]);
    let (frames, status) = unwind(&mut deferred, ip, sp, bp, &stack, rule, read);
    assert_eq!((frames, status), (vec![ip], UnwindStatus::UnknownCode));
}

#[test]
fn an_object_that_is_none() {
    let mut deferred = Deferred::new();
    let (start, end) = (Addr(0x1000), Addr(0x2000));
    deferred.set_code([Mapping { start, end, bias: u64::MAX, object: 0 }]);
    for bytes in [&b"#!/bin/sh\n"[..], b""] {
        let read = |_| Some(bytes.to_vec());
        let (frames, status) =
            unwind(&mut deferred, 0x1808, 64, 64, &[0; 64], |_| Rule::NONE, read);
        assert_eq!((frames, status), (vec![0x1808], UnwindStatus::NoRule));
    }
}

#[test]
fn an_object_is_read_once_and_only_if_it_is_needed() {
    let code = code();
    let Captured { ip, sp, bp, stack, .. } = nested(2);
    let mut reads = vec![0; code.len()];
    let mut deferred = Deferred::new();
    let all = mappings(&code);
    let ours = code.iter().position(|it| (it.start..it.end).contains(&ip)).unwrap();
    let without: Vec<_> = all.iter().copied().filter(|it| it.object as usize != ours).collect();
    for (now, expected) in [
        (&all, UnwindStatus::Complete),
        (&without, UnwindStatus::UnknownCode),
        (&all, UnwindStatus::Complete),
        (&all, UnwindStatus::Complete),
    ] {
        deferred.set_code(now.iter().copied());
        let rule = |address| rule_at(&code, address);
        let (_, status) = unwind(&mut deferred, ip, sp, bp, &stack, rule, |object| {
            reads[object as usize] += 1;
            read(&code, object)
        });
        assert_eq!(status, expected);
    }
    assert_eq!(reads[ours], 1);
    assert!(reads.iter().all(|reads| *reads <= 1) && reads.contains(&0), "{reads:?}");
}
