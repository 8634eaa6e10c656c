//! Leaks and clean programs that are played through, with many seeds of noise, from the first iteration on and after
//! warm-up. A shape that the rule takes for another one turns up here.

use super::{
    Verdict::{self, Burst, Growing, Plateau, Shrinking, Stable, Undecided},
    trend_samples::Heap,
};

const SEEDS: u64 = 250;
const WARMUP: u32 = 4;

/// Plays `program` from the start and after warm-up, each length with each seed. How many verdicts of all were
/// `wanted`.
fn share(lengths: &[usize], wanted: &[Verdict], program: &dyn Fn(&mut Heap)) -> f64 {
    let (mut right, mut all) = (0_u32, 0_u32);
    for &length in lengths {
        for seed in 0..SEEDS {
            for warmup in [0, WARMUP] {
                let found = Heap::new(seed).play(warmup, length, program);
                right += u32::from(wanted.contains(&found.verdict));
                all += 1;
            }
        }
    }
    f64::from(right) / f64::from(all)
}

/// Never taken for clean, and nearly always seen.
fn assert_leak(lengths: &[usize], name: &str, program: impl Fn(&mut Heap)) {
    let honest = share(lengths, &[Growing, Undecided], &program);
    assert!(honest >= 1.0, "{name}: {honest} growing or undecided");
    let seen = share(lengths, &[Growing], &program);
    assert!(seen >= 0.97, "{name}: {seen} growing");
}

/// Never taken for a leak.
fn assert_clean(lengths: &[usize], name: &str, program: impl Fn(&mut Heap)) {
    let clean = share(lengths, &[Burst, Plateau, Shrinking, Stable, Undecided], &program);
    assert!(clean >= 1.0, "{name}: {clean} not growing");
}

const ANY: &[usize] = &[5, 8, 12, 20, 40];
const LONG: &[usize] = &[12, 16, 20, 40];

#[test]
fn leaks_are_growing() {
    assert_leak(ANY, "one block", |heap| heap.alloc(16));
    assert_leak(LONG, "from nothing to twice the average", |heap| {
        let blocks = heap.below(5) + heap.below(3);
        heap.alloc_many(blocks, 100);
    });
    assert_leak(LONG, "in 1 of 3 iterations", |heap| {
        if heap.now.is_multiple_of(3) {
            heap.alloc(1000);
        }
    });
    assert_leak(&[20, 40], "that begins late", |heap| {
        if heap.now > 8 {
            heap.alloc(100);
        }
    });
    assert_leak(ANY, "a buffer that is enlarged", |heap| {
        let size = heap.live.pop().map_or(0, |(_, size)| size);
        heap.alloc(size + 1000);
    });
    assert_leak(ANY, "beside what was there from the start", |heap| {
        if heap.live.is_empty() {
            heap.alloc_many(1000, 16);
        }
        heap.alloc(16);
    });
    assert_leak(LONG, "beside a full cache", |heap| {
        heap.live.retain(|(born, size)| *size == 99 || born + 4 > heap.now);
        heap.alloc_many(30, 100);
        heap.alloc_many(10, 99);
    });
}

/// What is in use when an iteration ends differs by as much as the leak adds in two.
#[test]
fn leaks_show_through_noise() {
    assert_leak(LONG, "10 blocks under 0 to 20", |heap| in_use(heap, 0, 21, 10));
}

/// It differs by as much as the leak adds in ten: the survivors tell.
#[test]
fn leaks_under_noise_are_seen_by_their_survivors() {
    let program = |heap: &mut Heap| in_use(heap, 0, 100, 10);
    let seen = share(&[16, 20, 40], &[Growing], &program);
    assert!(seen >= 0.97, "{seen}");
}

#[test]
fn clean_programs_are_not_growing() {
    assert_clean(ANY, "in use, 0 to 100", |heap| in_use(heap, 0, 100, 0));
    assert_clean(ANY, "in use, 90 to 100", |heap| in_use(heap, 90, 10, 0));
    assert_clean(&[8, 12, 20, 40], "a buffer of any size", |heap| {
        heap.live.clear();
        let size = heap.below(1000) as i64;
        heap.alloc(size);
    });
    assert_clean(&[8, 12, 20, 40], "a queue that is full", |heap| {
        for _ in 0..300 {
            let size = 50 + heap.below(100) as i64;
            heap.alloc(size);
        }
        heap.keep_newest(1000);
    });
    assert_clean(ANY, "initialization", |heap| {
        if heap.live.is_empty() {
            heap.alloc_many(50, 100);
        }
    });
    assert_clean(ANY, "one burst", |heap| {
        if heap.now == WARMUP + 1 {
            heap.alloc_many(50, 100);
        }
    });
    assert_clean(LONG, "teeth of a saw", |heap| {
        if heap.now.is_multiple_of(4) {
            heap.live.clear();
        }
        let blocks = 5 + heap.below(10);
        heap.alloc_many(blocks, 100);
    });
}

/// Old entries go at random, so some of each iteration are still there at the end. The cache is full
/// within the warm-up.
#[test]
fn a_full_cache_is_not_growing() {
    let program = |heap: &mut Heap| {
        for _ in 0..60 {
            if heap.live.len() >= 200 {
                heap.free_any();
            }
            heap.alloc(100);
        }
    };
    assert_clean(LONG, "random eviction", program);
}

/// These have not come to rest: what is seen is growth, and may be called so, but not by habit.
#[test]
fn sessions_that_last_a_few_iterations_are_seldom_growing() {
    let program = |heap: &mut Heap| {
        heap.alloc_many(30, 100);
        for at in (0..heap.live.len()).rev() {
            if heap.below(3) == 0 {
                heap.live.remove(at);
            }
        }
    };
    let growing = share(&[20, 40], &[Growing], &program);
    assert!(growing <= 0.02, "{growing}");
}

/// Blocks that are gone when the next iteration begins, and `leaked` ones that stay.
fn in_use(heap: &mut Heap, least: usize, range: usize, leaked: usize) {
    heap.live.retain(|(_, size)| *size == 99);
    let blocks = least + heap.below(range);
    heap.alloc_many(blocks, 100);
    heap.alloc_many(leaked, 99);
}
