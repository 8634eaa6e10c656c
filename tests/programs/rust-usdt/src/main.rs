//! Leaks 100 blocks of 1000 bytes per iteration, and says by the probe `memtrace:iteration` where each ends.
//!
//! rust-usdt ITERATIONS

use std::hint::black_box;

fn main() {
    let iterations = std::env::args().nth(1).and_then(|number| number.parse().ok()).unwrap_or(1);
    for _ in 0..iterations {
        for _ in 0..100 {
            let block: Vec<u8> = Vec::with_capacity(1000);
            std::mem::forget(black_box(block));
        }
        probe::probe!(memtrace, iteration);
    }
}
