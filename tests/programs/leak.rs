//! Leaks 100 blocks of 1000 bytes per iteration from one line, and frees everything else.
//!
//! leak ITERATIONS [wait]: with `wait`, each iteration begins with a line on standard input.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::io::Read;

const BLOCKS: usize = 100;
const LIFETIME_SECONDS: u32 = 120;

unsafe extern "C" {
    safe fn alarm(seconds: u32) -> u32;
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn mark_iteration() {
    black_box(());
}

#[inline(never)]
fn keep() {
    for _ in 0..BLOCKS {
        let block: Vec<u8> = Vec::with_capacity(1000); // the leak
        std::mem::forget(black_box(block));
    }
}

#[inline(never)]
fn allocate_and_free() {
    let mut numbers = Vec::new();
    for number in 0..10_000u64 {
        numbers.push(black_box(number));
    }
    let mut text = String::new();
    for _ in 0..5000 {
        text.push_str(black_box("grows"));
    }
    let words: HashMap<String, Box<[u8]>> =
        (0..100).map(|n| (format!("key {n}"), vec![0; 200].into_boxed_slice())).collect();
    let sorted: BTreeMap<&String, usize> = words.iter().map(|(k, v)| (k, v.len())).collect();
    let shared = std::sync::Arc::new(vec![1u8; 300]);
    numbers.shrink_to(10);
    black_box((numbers, text, sorted, shared));
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
    let arguments: Vec<String> = std::env::args().collect();
    let iterations = arguments.get(1).and_then(|n| n.parse().ok()).unwrap_or(1);
    let waits = arguments.get(2).is_some_and(|word| word == "wait");
    println!("ready");
    for _ in 0..iterations {
        if waits && !line() {
            break;
        }
        allocate_and_free();
        keep();
        mark_iteration();
    }
    println!("done");
    while waits && line() {}
}
