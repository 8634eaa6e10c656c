//! Leaks 100 blocks of 1000 bytes per iteration from one line, and frees everything else. Its allocator is
//! jemalloc, linked in under names that begin with `_rjem_`.
//!
//! rust-jemalloc ITERATIONS

use std::{collections::HashMap, hint::black_box, thread};

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

const BLOCKS: usize = 100;

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

/// An alignment that `malloc` does not give: jemalloc's `mallocx` and `sdallocx` serve it.
#[repr(align(256))]
struct Wide([u8; 256]);

#[inline(never)]
fn allocate_and_free() {
    let mut numbers = Vec::new();
    for number in 0..10_000u64 {
        numbers.push(black_box(number));
    }
    let words: HashMap<String, Vec<u8>> =
        (0..100).map(|n| (format!("key {n}"), vec![0; 200])).collect();
    let wide = black_box(Box::new(Wide([1; 256])));
    numbers.shrink_to(10);
    black_box((numbers, words, wide.0[0]));
    // A thread's end frees what it had cached, which is jemalloc's business.
    thread::spawn(|| black_box(vec![1u8; 5000]).len()).join().expect("it does not panic");
}

fn main() {
    let iterations = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1);
    for _ in 0..iterations {
        allocate_and_free();
        keep();
        mark_iteration();
    }
}
