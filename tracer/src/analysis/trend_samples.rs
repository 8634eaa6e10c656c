//! Histories for tests: from numbers, or from a heap that is played through.

use tracer_common::RowCounts;

use super::{Cohort, History, Step, Trend, trend};
use crate::ledger::{Amount, Iteration, MarkTrigger, mappings::MappingTotals};

/// So many iterations, numbered from `first`.
pub(super) fn iterations(first: u32, count: usize) -> Vec<Iteration> {
    (0..count)
        .map(|at| Iteration {
            index: at as u32 + first,
            merged: 1,
            warmup: false,
            trigger: MarkTrigger::Interval,
            label: None,
            partial: false,
            duration_ns: 0,
            counts: RowCounts::default(),
            dropped: Amount::ZERO,
            live: Amount::ZERO,
            peak_bytes: 0,
            rss_bytes: 0,
            anonymous_bytes: None,
            classes: None,
            mappings: MappingTotals::default(),
        })
        .collect()
}

/// From changes in bytes, with nothing known of survivors.
pub(super) fn of(nets: &[i64], baseline: i64) -> Trend {
    of_iterations(&iterations(3, nets.len()), nets, baseline)
}

pub(super) fn of_iterations(iterations: &[Iteration], nets: &[i64], baseline: i64) -> Trend {
    let changes = nets.iter().enumerate().filter(|(_, net)| **net != 0);
    let steps: Vec<_> = changes.map(|(at, net)| step(at, *net)).collect();
    trend(&History {
        iterations,
        steps: &steps,
        baseline: Amount { bytes: baseline, blocks: baseline },
        live: Amount { bytes: 1, blocks: 1 },
        cohorts: &[],
    })
}

fn step(at: usize, net: i64) -> Step {
    Step { at, net: Amount { bytes: net, blocks: net }, alloc_blocks: net.unsigned_abs() }
}

/// The blocks of one stack of a program that is played, iteration by iteration.
pub(super) struct Heap {
    /// Birth and size of each, oldest first.
    pub(super) live: Vec<(u32, i64)>,
    /// The number of the iteration.
    pub(super) now: u32,
    allocated: u64,
    random: u64,
}

impl Heap {
    pub(super) fn new(seed: u64) -> Self {
        Self { live: Vec::new(), now: 0, allocated: 0, random: seed.wrapping_mul(0x9e37_79b9) }
    }

    pub(super) fn alloc(&mut self, size: i64) {
        self.live.push((self.now, size));
        self.allocated += 1;
    }

    pub(super) fn alloc_many(&mut self, blocks: usize, size: i64) {
        (0..blocks).for_each(|_| self.alloc(size));
    }

    /// Frees the oldest until so many are left.
    pub(super) fn keep_newest(&mut self, blocks: usize) {
        self.live.drain(..self.live.len().saturating_sub(blocks));
    }

    /// Frees one of them, whichever.
    pub(super) fn free_any(&mut self) {
        let at = self.below(self.live.len());
        self.live.remove(at);
    }

    /// A number below `end`, by the generator known as splitmix64.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }

    /// Plays `warmup` iterations and then `count` that are measured.
    pub(super) fn play(
        mut self,
        warmup: u32,
        count: usize,
        mut iteration: impl FnMut(&mut Self),
    ) -> Trend {
        let mut steps = Vec::new();
        let (mut baseline, mut before) = (Amount::ZERO, Amount::ZERO);
        for index in 1..=warmup + count as u32 {
            (self.now, self.allocated) = (index, 0);
            iteration(&mut self);
            let after = self.amount();
            if index <= warmup {
                baseline = after;
            } else {
                let at = (index - warmup - 1) as usize;
                steps.push(Step { at, net: after - before, alloc_blocks: self.allocated });
            }
            before = after;
        }
        let mut cohorts: Vec<Cohort> = Vec::new();
        self.live.sort_unstable();
        for (born, size) in &self.live {
            if cohorts.last().is_none_or(|last| last.born != *born) {
                cohorts.push(Cohort { born: *born, ..Cohort::default() });
            }
            if let Some(cohort) = cohorts.last_mut() {
                cohort.blocks += 1;
                cohort.bytes += *size as u64;
            }
        }
        trend(&History {
            iterations: &iterations(warmup + 1, count),
            steps: &steps,
            baseline,
            live: self.amount(),
            cohorts: &cohorts,
        })
    }

    fn amount(&self) -> Amount {
        let bytes = self.live.iter().map(|(_, size)| size).sum();
        Amount { bytes, blocks: self.live.len() as i64 }
    }
}
