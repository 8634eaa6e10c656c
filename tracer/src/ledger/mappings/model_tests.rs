//! Random changes against a naive model that keeps every page.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tracer_common::{Space, StackId};

use super::{Action, Change, MappingKey, Mappings, Range};
use crate::ledger::StackKey;

const PAGE: u64 = 4096;
/// The break starts beyond all that is mapped otherwise.
const BREAK: u64 = 100;

#[derive(Clone, Debug)]
enum Event {
    Map {
        at: u64,
        pages: u64,
        stack: u64,
    },
    Unmap {
        at: u64,
        pages: u64,
    },
    Remap {
        at: u64,
        pages: u64,
        to: u64,
        new_pages: u64,
        stack: u64,
        lost_start: bool,
    },
    RemapFailed {
        at: u64,
        pages: u64,
    },
    Break {
        pages: u64,
        stack: u64,
    },
    /// A heap call begins; the changes up to its end are its own.
    HeapCall,
    HeapReturn,
    Exec,
    Mark {
        partial: bool,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let at = || 0..40_u64;
    let pages = || 1..8_u64;
    let stack = || 1..5_u64;
    let event = prop_oneof![
        8 => (at(), pages(), stack()).prop_map(|(at, pages, stack)| Event::Map { at, pages, stack }),
        6 => (at(), pages()).prop_map(|(at, pages)| Event::Unmap { at, pages }),
        6 => (at(), pages(), at(), pages(), stack(), any::<bool>()).prop_map(
            |(at, pages, to, new_pages, stack, lost_start)| {
                Event::Remap { at, pages, to, new_pages, stack, lost_start }
            }
        ),
        2 => (at(), pages()).prop_map(|(at, pages)| Event::RemapFailed { at, pages }),
        3 => (0..20_u64, stack()).prop_map(|(pages, stack)| Event::Break { pages, stack }),
        2 => Just(Event::HeapCall),
        4 => Just(Event::HeapReturn),
        1 => Just(Event::Exec),
        3 => any::<bool>().prop_map(|partial| Event::Mark { partial }),
    ];
    prop::collection::vec(event, 0..200)
}

fn range(at: u64, pages: u64) -> Range {
    Range { start: at * PAGE, end: (at + pages) * PAGE }
}

/// What is true: the pages themselves, and sums by owner.
#[derive(Default)]
struct Model {
    pages: BTreeMap<u64, (MappingKey, u32)>,
    program_break: Option<u64>,
    mapped: BTreeMap<MappingKey, u64>,
    unmapped: BTreeMap<MappingKey, u64>,
    at_mark: BTreeMap<MappingKey, u64>,
    baseline: BTreeMap<MappingKey, u64>,
    unknown: u64,
    closed: u32,
}

impl Model {
    fn map(&mut self, page: u64, owner: MappingKey) {
        self.unmap(page);
        self.pages.insert(page, (owner, self.closed + 1));
        *self.mapped.entry(owner).or_default() += PAGE;
    }

    fn unmap(&mut self, page: u64) -> bool {
        let gone = self.pages.remove(&page);
        if let Some((owner, _)) = gone {
            *self.unmapped.entry(owner).or_default() += PAGE;
        }
        gone.is_some()
    }

    fn remove(&mut self, pages: std::ops::Range<u64>) {
        for page in pages {
            if !self.unmap(page) {
                self.unknown += PAGE;
            }
        }
    }

    fn remap(&mut self, (at, pages): (u64, u64), (to, new_pages): (u64, u64), owner: MappingKey) {
        let moved: Vec<_> = (0..pages).map(|page| self.pages.remove(&(at + page))).collect();
        for page in 0..new_pages {
            self.unmap(to + page);
        }
        for (page, old) in (0..).zip(moved) {
            match old {
                Some(old) if page < new_pages => drop(self.pages.insert(to + page, old)),
                Some((owner, _)) => *self.unmapped.entry(owner).or_default() += PAGE,
                None => {}
            }
        }
        for page in pages..new_pages {
            self.map(to + page, owner);
        }
    }

    fn live(&self) -> BTreeMap<MappingKey, u64> {
        let mut live = BTreeMap::new();
        for (owner, _) in self.pages.values() {
            *live.entry(*owner).or_default() += PAGE;
        }
        live
    }

    fn assert_is(&self, books: &Mappings) {
        let live = self.live();
        let of = |sums: &BTreeMap<MappingKey, u64>, key| sums.get(key).copied().unwrap_or(0);
        let stacks = books.stacks();
        assert_eq!(stacks.len(), self.mapped.len());
        for stack in &stacks {
            let key = &stack.key;
            assert_eq!(stack.mapped_bytes, of(&self.mapped, key), "mapped by {key:?}");
            assert_eq!(stack.unmapped_bytes, of(&self.unmapped, key), "unmapped of {key:?}");
            assert_eq!(stack.live_bytes, of(&live, key), "live of {key:?}");
            let growth = of(&self.at_mark, key) as i64 - of(&self.baseline, key) as i64;
            assert_eq!(stack.growth_bytes, growth, "growth of {key:?}");
            let mut survivors = BTreeMap::new();
            for (_, born) in self.pages.values().filter(|(owner, _)| owner == key) {
                *survivors.entry(*born).or_insert(0) += PAGE;
            }
            assert_eq!(stack.survivors, survivors.into_iter().collect::<Vec<_>>());
        }
        assert_eq!(books.totals().live_bytes, live.values().sum::<u64>());
        assert_eq!(books.unknown_unmapped_bytes(), self.unknown);
    }
}

/// One thread of the program, whose heap calls all come from the same stack.
struct Driver {
    in_heap: bool,
    space: u32,
}

impl Driver {
    fn owner(&self, stack: u64) -> MappingKey {
        let stack = StackId(if self.in_heap { 99 } else { stack });
        MappingKey { key: StackKey { space: Space(self.space), stack }, by_allocator: self.in_heap }
    }

    fn change(&self, stack: u64, action: Action) -> Change {
        let stack = StackId(if self.in_heap { 0 } else { stack });
        Change { space: Space(self.space), tid: 7, stack, in_heap: self.in_heap, action }
    }

    fn settle(&mut self, books: &mut Mappings) {
        if std::mem::take(&mut self.in_heap) {
            books.apply(&self.change(99, Action::Settle));
        }
    }
}

proptest! {
    #[test]
    fn the_books_are_those_of_the_pages(events in events()) {
        let (mut books, mut model) = (Mappings::default(), Model::default());
        let mut driver = Driver { in_heap: false, space: 0 };
        for event in events {
            match event {
                Event::Map { at, pages, stack } => {
                    books.apply(&driver.change(stack, Action::Map(range(at, pages))));
                    (at..at + pages).for_each(|page| model.map(page, driver.owner(stack)));
                }
                Event::Unmap { at, pages } => {
                    books.apply(&driver.change(0, Action::Unmap(range(at, pages))));
                    model.remove(at..at + pages);
                }
                Event::Remap { at, pages, to, new_pages, stack, lost_start } => {
                    // As in the kernel: in place, or to where it doesn't overlap itself.
                    let to = if to < at + pages && at < to + new_pages { at } else { to };
                    let (old, new) = (range(at, pages), Some(range(to, new_pages)));
                    if !lost_start {
                        books.apply(&driver.change(0, Action::Take(old)));
                    }
                    books.apply(&driver.change(stack, Action::Place { old, new }));
                    model.remap((at, pages), (to, new_pages), driver.owner(stack));
                }
                Event::RemapFailed { at, pages } => {
                    let old = range(at, pages);
                    books.apply(&driver.change(0, Action::Take(old)));
                    model.assert_totals(&books);
                    books.apply(&driver.change(0, Action::Place { old, new: None }));
                }
                Event::Break { pages, stack } => {
                    let new = BREAK + pages;
                    let old = *model.program_break.get_or_insert(BREAK);
                    let told = Some(old * PAGE).filter(|_| pages % 2 == 0 || old == BREAK);
                    books.apply(&driver.change(stack, Action::Break { old: told, new: new * PAGE }));
                    (old..new).for_each(|page| model.map(page, driver.owner(stack)));
                    model.remove(new..old);
                    model.program_break = Some(new);
                }
                Event::HeapCall => driver.in_heap = true,
                Event::HeapReturn => driver.settle(&mut books),
                Event::Exec => {
                    driver.settle(&mut books);
                    books.exec();
                    (0..200).for_each(|page| _ = model.unmap(page));
                    model.program_break = None;
                    driver.space += 1;
                }
                Event::Mark { partial } => {
                    books.close(partial, model.closed == 1);
                    model.closed += 1;
                    if !partial {
                        model.at_mark = model.live();
                        if model.closed == 2 {
                            model.baseline = model.at_mark.clone();
                        }
                    }
                }
            }
            if !driver.in_heap {
                model.assert_is(&books);
            }
        }
        driver.settle(&mut books);
        model.assert_is(&books);
    }
}

impl Model {
    fn assert_totals(&self, books: &Mappings) {
        assert_eq!(books.totals().live_bytes, self.live().values().sum::<u64>());
    }
}
