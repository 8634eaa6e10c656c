//! Random event streams against a naive model that keeps every block.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use tracer_common::{RowCounts, Space, StackId};

use super::{Amount, Iteration, Ledger, Plan, StackKey, samples::epoch};

#[derive(Clone, Debug)]
enum Event {
    Allocate { address: u8, size: u16, stack: u8 },
    Free { address: u8 },
    Exec,
    Mark,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => (0..24_u8, 0..2_000_u16, 1..6_u8)
            .prop_map(|(address, size, stack)| Event::Allocate { address, size, stack }),
        6 => (0..24_u8).prop_map(|address| Event::Free { address }),
        1 => Just(Event::Exec),
        5 => Just(Event::Mark),
    ];
    prop::collection::vec(event, 0..400)
}

/// What is true: the blocks themselves.
#[derive(Default)]
struct Model {
    /// With the marks before each one's birth.
    blocks: HashMap<u8, (StackKey, u64, usize)>,
    marks: usize,
    /// Freed in the iteration of their birth.
    temporary: Amount,
    space: u32,
    rows: BTreeMap<StackKey, RowCounts>,
    exec: Option<Space>,
    dropped: Amount,
    peak: u64,
}

impl Model {
    fn live(&self) -> BTreeMap<StackKey, Amount> {
        let mut live = BTreeMap::new();
        for &(key, size, _) in self.blocks.values() {
            *live.entry(key).or_insert(Amount::ZERO) += Amount { bytes: size as i64, blocks: 1 };
        }
        live
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Allocate { address, size, stack } => {
                self.free(address);
                let size = u64::from(size);
                let key = StackKey { space: Space(self.space), stack: StackId(stack.into()) };
                self.blocks.insert(address, (key, size, self.marks));
                let row = self.rows.entry(key).or_default();
                row.alloc_bytes += size;
                row.alloc_blocks += 1;
            }
            Event::Free { address } => self.free(address),
            Event::Exec => {
                self.dropped += self.live().into_values().sum();
                self.blocks.clear();
                self.space += 1;
                self.exec = Some(Space(self.space));
            }
            Event::Mark => self.marks += 1,
        }
        let live: Amount = self.live().into_values().sum();
        self.peak = self.peak.max(live.bytes as u64);
    }

    fn free(&mut self, address: u8) {
        if let Some((key, size, born)) = self.blocks.remove(&address) {
            let row = self.rows.entry(key).or_default();
            row.free_bytes += size;
            row.free_blocks += 1;
            if born == self.marks {
                self.temporary += Amount { bytes: size as i64, blocks: 1 };
            } else {
                row.carried_bytes += size;
                row.carried_blocks += 1;
            }
        }
    }
}

/// Runs both, and returns the ledger with the model's live sets at every mark.
fn run(events: &[Event], warmup: usize, limit: usize) -> (Ledger, Vec<BTreeMap<StackKey, Amount>>) {
    let mut ledger = Ledger::keeping(&Plan { warmup, ..Plan::default() }, limit);
    let mut model = Model::default();
    let mut marks = vec![BTreeMap::new()];
    for event in events.iter().chain([&Event::Mark]) {
        model.apply(event);
        if matches!(event, Event::Mark) {
            let mut record = epoch(std::mem::take(&mut model.rows).into_iter().collect());
            record.exec = model.exec.take();
            record.peak_bytes = std::mem::take(&mut model.peak);
            ledger.push(record);
            marks.push(model.live());
            let live: Amount = model.live().into_values().sum();
            assert_eq!(ledger.live(), live);
            let last = ledger.iterations().last().expect("just pushed");
            assert!(last.peak_bytes >= live.bytes as u64);
        }
    }
    let temporary = |counts: &RowCounts| Amount {
        bytes: counts.temporary_bytes() as i64,
        blocks: counts.temporary_blocks() as i64,
    };
    let of_iterations: Amount = ledger.iterations().iter().map(|i| temporary(&i.counts)).sum();
    let of_stacks: Amount = ledger.stacks().map(|stack| temporary(&stack.counts())).sum();
    assert_eq!((of_iterations, of_stacks), (model.temporary, model.temporary));
    (ledger, marks)
}

fn at(live: &BTreeMap<StackKey, Amount>, key: StackKey) -> Amount {
    live.get(&key).copied().unwrap_or_default()
}

proptest! {
    #[test]
    fn the_ledger_agrees_with_the_blocks(
        events in events(), warmup in 0..4_usize, limit in prop_oneof![Just(10_000), 1..9_usize],
    ) {
        let (ledger, marks) = run(&events, warmup, limit);
        let last = marks.len() - 1;
        let baseline = if warmup > last { 0 } else { warmup };
        for stack in ledger.stacks() {
            let key = stack.key();
            prop_assert_eq!(stack.live(), at(&marks[last], key));
            prop_assert_eq!(stack.baseline(), at(&marks[baseline], key));
            prop_assert_eq!(stack.growth(), at(&marks[last], key) - at(&marks[baseline], key));
            prop_assert_eq!(stack.change(), at(&marks[last], key) - at(&marks[last - 1], key));
            prop_assert_eq!(Amount::net(&stack.counts()) - stack.dropped(), stack.live());
            let points = stack.series().points();
            prop_assert_eq!(points.iter().map(|p| p.net).sum::<Amount>(), stack.live());
            prop_assert_eq!(
                points.iter().map(|p| p.alloc_bytes).sum::<u64>(), stack.counts().alloc_bytes);
            prop_assert!(points.windows(2).all(|pair| pair[0].entry < pair[1].entry));
            prop_assert!(points.iter().all(|p| (p.entry as usize) < ledger.iterations().len()));
        }
    }

    #[test]
    fn the_totals_close(events in events(), warmup in 0..4_usize, limit in 1..9_usize) {
        let (ledger, marks) = run(&events, warmup, limit);
        let growth = ledger.live() - ledger.baseline();
        prop_assert_eq!(ledger.totals().net_bytes(), growth.bytes);
        prop_assert!(ledger.totals().growth_bytes >= 0 && ledger.totals().freed_bytes >= 0);
        let net: Amount = ledger.iterations().iter().map(Iteration::net).sum();
        prop_assert_eq!(net, ledger.live());
        let merged: u32 = ledger.iterations().iter().map(|i| i.merged).sum();
        prop_assert_eq!(merged as usize, marks.len() - 1);
        prop_assert!(ledger.iterations().len() <= limit.max(2));
    }

    #[test]
    fn the_series_add_up_to_the_iterations(events in events(), limit in 1..30_usize) {
        let (ledger, _) = run(&events, 1, limit);
        let mut sums = vec![Amount::ZERO; ledger.iterations().len()];
        for point in ledger.stacks().flat_map(|stack| stack.series().points().to_vec()) {
            sums[point.entry as usize] += point.net;
        }
        let nets: Vec<Amount> = ledger.iterations().iter().map(Iteration::net).collect();
        prop_assert_eq!(sums, nets);
    }
}
