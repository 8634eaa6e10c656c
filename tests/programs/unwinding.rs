//! Allocations of a Rust program, each told by itself (`known.h`). The allocator is the program's own, so that it
//! can tell the stack of what the standard library allocates.
//!
//! Says "ready", goes on at a line, and ends with its input.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, c_char, c_void};
use std::hint::black_box;
use std::io::Read as _;
use std::sync::{Arc, OnceLock};

const LIFETIME_SECONDS: u32 = 120;

/// Only sizes above are told, and only odd ones: so each is unique.
const LEAST: usize = 50_000;

unsafe extern "C" {
    fn known_before_size(name: *const c_char, size: usize);
    fn known_after(size: usize);
    fn malloc(size: usize) -> *mut c_void;
    fn realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn free(block: *mut c_void);
    safe fn alarm(seconds: u32) -> u32;
}

thread_local! {
    static NAME: Cell<Option<&'static CStr>> = const { Cell::new(None) };
}

struct Telling;

unsafe impl GlobalAlloc for Telling {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = layout.size();
        match NAME.get() {
            Some(name) if size > LEAST && size % 2 == 1 => unsafe {
                known_before_size(name.as_ptr(), size);
                let block = malloc(size);
                known_after(size);
                block.cast()
            },
            _ => unsafe { malloc(size).cast() },
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, _: Layout, size: usize) -> *mut u8 {
        match NAME.get() {
            Some(name) if size > LEAST && size % 2 == 1 => unsafe {
                known_before_size(name.as_ptr(), size);
                let block = realloc(block.cast(), size);
                known_after(size);
                block.cast()
            },
            _ => unsafe { realloc(block.cast(), size).cast() },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        unsafe { free(block.cast()) }
    }
}

#[global_allocator]
static ALLOCATOR: Telling = Telling;

/// The allocations of `work` are told by this name.
#[inline(never)]
fn told<T>(name: &'static CStr, work: impl FnOnce() -> T) -> T {
    NAME.set(Some(name));
    let result = black_box(work());
    NAME.set(None);
    result
}

struct Guard;

impl Drop for Guard {
    #[inline(never)]
    fn drop(&mut self) {
        told(c"rust: drop while a panic passes", || keep(Vec::<u8>::with_capacity(50_021)));
    }
}

fn keep<T>(value: T) {
    std::mem::forget(black_box(value));
}

#[inline(never)]
fn nested(depth: u32, work: &dyn Fn()) -> u32 {
    if depth == 0 {
        work();
        return 0;
    }
    black_box(nested(depth - 1, work)) + depth
}

fn collections() {
    told(c"rust: box", || keep(Box::new([1u8; 50_001])));
    told(c"rust: vec", || keep(Vec::<u8>::with_capacity(50_003)));
    told(c"rust: vec that grows", || {
        let mut bytes = vec![1u8; 100];
        bytes.reserve_exact(50_005 - 100);
        keep(bytes);
    });
    told(c"rust: string", || keep("x".repeat(50_007)));
    told(c"rust: string that grows", || {
        let mut text = String::from("text");
        text.reserve_exact(50_009 - 4);
        keep(text);
    });
    told(c"rust: collect", || keep((0..50_011).map(|n| n as u8).collect::<Box<[u8]>>()));
    told(c"rust: deque", || keep(VecDeque::<u8>::with_capacity(50_013)));
    let bytes = black_box([3u8; 50_017]);
    told(c"rust: clone", || keep(bytes.to_vec()));
    let mut map = BTreeMap::new();
    told(c"rust: entry", || {
        map.entry(1).or_insert_with(|| vec![4u8; 50_019]);
    });
    keep(map);
}

fn closures() {
    told(c"rust: dyn fn", || {
        let size = black_box(50_025);
        black_box(nested(20, &|| keep(Vec::<u8>::with_capacity(size))));
    });
    let boxed: Box<dyn FnOnce(usize)> = Box::new(|size| keep(vec![5u8; size]));
    told(c"rust: box dyn fn", || black_box(boxed)(50_027));
    static ONCE: OnceLock<Vec<u8>> = OnceLock::new();
    told(c"rust: once", || black_box(ONCE.get_or_init(|| vec![6u8; 50_029]).len()));
    told(c"rust: sort", || {
        let mut numbers: Vec<u32> = (0..200).map(|n| n * 7919 % 200).collect();
        let mut compared = 0;
        numbers.sort_by(|a, b| {
            compared += 1;
            if compared == 20 {
                keep(vec![7u8; 50_031]);
            }
            a.cmp(b)
        });
        black_box(numbers);
    });
}

#[inline(never)]
fn panics(depth: u32) -> u32 {
    let _guard = (depth == 3).then(|| Guard);
    if depth == 0 {
        std::panic::resume_unwind(Box::new(1u32));
    }
    black_box(panics(depth - 1)) + 1
}

fn unwinding() {
    let caught = std::panic::catch_unwind(|| panics(8));
    assert!(caught.is_err());
    told(c"rust: after a panic", || keep(vec![8u8; 50_033]));
    std::panic::set_hook(Box::new(|_| {
        told(c"rust: panic hook", || keep(vec![9u8; 50_035]));
    }));
    let caught = std::panic::catch_unwind(|| {
        let empty: Vec<u32> = black_box(Vec::new());
        black_box(empty[black_box(3)])
    });
    assert!(caught.is_err());
    drop(std::panic::take_hook());
}

fn threads() {
    std::thread::spawn(|| told(c"rust: thread", || keep(vec![1u8; 50_037]))).join().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| told(c"rust: scoped thread", || keep(vec![1u8; 50_039])));
    });
    let shared = Arc::new(5);
    let named = std::thread::Builder::new().name("named".to_owned()).spawn(move || {
        black_box(shared);
        let _ = std::panic::catch_unwind(|| {
            told(c"rust: thread's nested", || {
                black_box(nested(50, &|| keep(Box::new([1u8; 50_041]))));
            });
        });
    });
    named.unwrap().join().unwrap();
}

/// A line of standard input, without a buffer that would be allocated. `false` at its end.
fn line() -> bool {
    let mut byte = [0];
    let mut input = std::os::fd::AsFd::as_fd(&std::io::stdin())
        .try_clone_to_owned()
        .map(std::fs::File::from)
        .expect("standard input");
    while input.read(&mut byte).is_ok_and(|read| read > 0) {
        if byte[0] == b'\n' {
            return true;
        }
    }
    false
}

fn main() {
    alarm(LIFETIME_SECONDS);
    println!("ready");
    if !line() {
        return;
    }
    collections();
    closures();
    unwinding();
    threads();
    println!("done");
    while line() {}
}
