//! The rules one by one, where random changes seldom go.

use tracer_common::{Epoch, EventHeader, MapEvent, MapOp, Space, StackId};

use super::{Action, Change, Mappings, Range, UnknownChange};

fn event(op: MapOp) -> MapEvent {
    MapEvent {
        header: EventHeader { kind: 5, space: Space(0) },
        epoch: Epoch(0),
        op: op as u32,
        tid: 1,
        in_heap: 0,
        addr: 0,
        len: 0,
        old_addr: 0,
        old_len: 0,
        stack: StackId(1),
    }
}

fn action(event: MapEvent) -> Option<Action> {
    Change::of(&event).expect("a known kind").map(|change| change.action)
}

fn pages(start: u64, end: u64) -> Range {
    Range { start: start * 4096, end: end * 4096 }
}

fn by(tid: u32, action: Action) -> Change {
    Change { space: Space(0), tid, stack: StackId(u64::from(tid)), in_heap: false, action }
}

#[test]
fn lengths_are_whole_pages() {
    let map = MapEvent { addr: 0x5000, len: 1, ..event(MapOp::Map) };
    assert_eq!(action(map), Some(Action::Map(pages(5, 6))));
    let brk = MapEvent { addr: 0x5001, old_addr: 0x3000, ..event(MapOp::Break) };
    assert_eq!(action(brk), Some(Action::Break { old: Some(0x3000), new: 0x6000 }));
    let unknown = MapEvent { addr: 0x5000, ..event(MapOp::Break) };
    assert_eq!(action(unknown), Some(Action::Break { old: None, new: 0x5000 }));
}

#[test]
fn what_the_kernel_refuses_is_no_change() {
    assert_eq!(action(MapEvent { addr: 0x5000, ..event(MapOp::Unmap) }), None);
    assert_eq!(action(MapEvent { addr: 0x5001, len: 9, ..event(MapOp::Unmap) }), None);
    assert_eq!(action(MapEvent { addr: 0x5000, len: u64::MAX, ..event(MapOp::Unmap) }), None);
    assert_eq!(Change::of(&MapEvent { op: 77, ..event(MapOp::Map) }), Err(UnknownChange));
}

#[test]
fn a_moved_range_s_old_place_may_be_another_s_before_the_move_is_told() {
    let mut books = Mappings::default();
    books.apply(&by(1, Action::Map(pages(10, 14))));
    books.apply(&by(1, Action::Take(pages(10, 14))));
    books.apply(&by(2, Action::Map(pages(10, 12))));
    books.apply(&by(1, Action::Place { old: pages(10, 14), new: Some(pages(20, 25)) }));
    books.apply(&by(3, Action::Unmap(pages(20, 25))));
    let live: Vec<_> = books.stacks().iter().map(|s| (s.key.key.stack.0, s.live_bytes)).collect();
    assert_eq!(live, [(2, 2 * 4096), (1, 0)]);
    assert_eq!(books.unknown_unmapped_bytes(), 0);
}

#[test]
fn a_remapping_that_never_ended_is_undone_by_the_thread_s_next() {
    let mut books = Mappings::default();
    books.apply(&by(1, Action::Map(pages(10, 14))));
    books.apply(&by(1, Action::Take(pages(10, 14))));
    books.apply(&by(1, Action::Take(pages(40, 41))));
    books.apply(&by(2, Action::Unmap(pages(10, 14))));
    assert_eq!(books.totals().live_bytes, 0);
    assert_eq!(books.unknown_unmapped_bytes(), 0);
}

#[test]
fn the_first_brk_only_tells_where_the_break_is() {
    let mut books = Mappings::default();
    books.apply(&by(1, Action::Break { old: None, new: 100 * 4096 }));
    assert_eq!(books.totals().live_bytes, 0);
    books.apply(&by(1, Action::Break { old: None, new: 103 * 4096 }));
    assert_eq!(books.totals().live_bytes, 3 * 4096);
}

#[test]
fn two_heap_calls_at_once_are_told_apart() {
    let mut books = Mappings::default();
    let in_heap = |tid, range| Change { in_heap: true, ..by(tid, Action::Map(range)) };
    books.apply(&in_heap(1, pages(10, 11)));
    books.apply(&in_heap(2, pages(11, 13)));
    assert_eq!(books.stacks().len(), 1, "nobody's yet");
    books.apply(&by(2, Action::Settle));
    books.apply(&by(1, Action::Settle));
    let stacks = books.stacks();
    let live: Vec<_> = stacks.iter().map(|s| (s.key.key.stack.0, s.live_bytes)).collect();
    assert_eq!(live, [(2, 2 * 4096), (1, 4096)]);
    assert!(stacks.iter().all(|stack| stack.key.by_allocator));
}

#[test]
fn pages_that_moved_under_another_thread_keep_their_way_to_the_owner() {
    let mut books = Mappings::default();
    books.apply(&Change { in_heap: true, ..by(1, Action::Map(pages(10, 11))) });
    let (old, new) = (pages(10, 11), Some(pages(30, 31)));
    books.apply(&by(2, Action::Place { old, new }));
    books.apply(&by(1, Action::Settle));
    books.apply(&Change { in_heap: true, ..by(3, Action::Map(pages(50, 51))) });
    books.apply(&by(2, Action::Unmap(pages(30, 31))));
    books.apply(&by(3, Action::Settle));
    let live: Vec<_> = books.stacks().iter().map(|s| (s.key.key.stack.0, s.live_bytes)).collect();
    assert_eq!(live, [(3, 4096), (1, 0)]);
}
