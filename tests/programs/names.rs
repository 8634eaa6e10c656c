//! Calls two functions three times each, whose names the compiler mangles or not.
#![crate_name = "names"]

use std::hint::black_box;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn plain_mark() {
    black_box(());
}

mod shop {
    #[inline(never)]
    pub fn checkout(items: usize) -> usize {
        std::hint::black_box(items)
    }
}

fn main() {
    for items in 0..3 {
        drop(black_box(vec![0_u8; 100]));
        plain_mark();
        shop::checkout(items);
    }
}
