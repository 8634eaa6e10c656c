//! Where the target's code lies, and how to unwind it: what the kernel side is told.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, TryRecvError},
    },
    thread,
};

use tracer_common::{CODE_MAPS, CodeMap, CodeSpan, MAX_SPANS, Space, SpanKind, names};

use super::{BpfError, Kernel};

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct CodeState {
    generation: u32,
    readers: Readers,
    warned: bool,
}

/// Which code maps programs may still read.
///
/// A program reads from `CONTROL` once which code map is in use, and may read that entry until it ends, however
/// often another one is taken into use meanwhile. An entry may be rewritten only when every program that began
/// while the entry was in use has ended: after a wait that *began* when another entry was in use already. So the
/// switches are counted, and each wait notes the count that it began with: when it is over, no program is left
/// that began before that switch, and entries which went out of use by then are free.
///
/// There are [`CODE_MAPS`] entries: only when as many changes come within one grace period, somebody has to wait.
/// Each change has a wait of its own begin: the kernel lets one grace period do for all that wait for it.
#[derive(Debug, Default)]
struct Readers {
    /// How often another entry was taken into use.
    switches: u64,
    /// For each entry the switch by which it went out of use last; 0 for one that never was in use.
    left: [u64; CODE_MAPS as usize],
    /// Programs that began before this switch have ended.
    settled: u64,
    /// The waits in the background, each with the switch that it began after.
    waiting: Vec<(u64, Receiver<()>)>,
}

impl Readers {
    /// Nobody is at work: all that is not in use now is free.
    fn none(&mut self) {
        self.settled = self.switches;
    }

    /// Whether an entry may be rewritten.
    fn is_free(&mut self, entry: u32) -> bool {
        self.look();
        self.left[entry as usize] <= self.settled
    }

    /// Another entry was taken into use, in the stead of `old`.
    fn switched(&mut self, old: u32) {
        self.switches += 1;
        self.left[old as usize] = self.switches;
    }

    /// Has the waits taken into account that are over.
    fn look(&mut self) {
        let settled = &mut self.settled;
        self.waiting.retain(|(began, over)| match over.try_recv() {
            Ok(()) => {
                *settled = (*settled).max(*began);
                false
            }
            // A thread that is gone without a word has not waited.
            Err(TryRecvError::Disconnected) => false,
            Err(TryRecvError::Empty) => true,
        });
    }

    /// Begins to wait in the background. Where no thread can be started, whoever needs an entry then waits.
    fn begin(&mut self, wait: impl FnOnce() + Send + 'static) {
        let (sender, over) = mpsc::channel();
        let settling = thread::Builder::new().name("settle".to_owned()).spawn(move || {
            wait();
            // Nobody may want to know any more.
            let _ = sender.send(());
        });
        if settling.is_ok() {
            self.waiting.push((self.switches, over));
        }
    }
}

impl Kernel {
    /// The target stands still, in all its threads: none of the programs is at work. Saves waiting for them.
    pub fn target_stands_still(&mut self) {
        self.code.readers.none();
    }

    /// How many code maps can be published without waiting.
    pub fn free_code_maps(&mut self) -> usize {
        let (readers, used) = (&mut self.code.readers, self.control.code_map);
        (1..CODE_MAPS).take_while(|next| readers.is_free((used + next) % CODE_MAPS)).count()
    }

    /// The code map in use is what was mapped when so many removals had been counted. To be called after it was
    /// taken into use: a program that sees the count sees the map as well.
    ///
    /// # Errors
    ///
    /// Where the map can't be written.
    pub fn set_known_removals(&mut self, removals: u64) -> Result<(), BpfError> {
        if self.control.removals == removals {
            return Ok(());
        }
        self.control.removals = removals;
        self.write_control()
    }

    /// Makes a new code map the one in use: the code of an address space, each span with its first address,
    /// ascending and disjoint. Of more than [`MAX_SPANS`], code of objects goes before code of none; what is left
    /// out is said once.
    ///
    /// # Errors
    ///
    /// Where the maps can't be written.
    pub fn publish_code(
        &mut self,
        space: Space,
        spans: &[(u64, CodeSpan)],
    ) -> Result<(), BpfError> {
        let kept = most_useful(spans);
        if kept.len() < spans.len() && !self.code.warned {
            self.code.warned = true;
            tracing::warn!(
                "the target has {} stretches of code, and {MAX_SPANS} can be told apart: stacks end at the others",
                spans.len()
            );
        }
        let old = self.control.code_map;
        let next = (old + 1) % CODE_MAPS;
        if !self.code.readers.is_free(next) {
            self.settler.settle();
            self.code.readers.none();
        }
        self.code.generation += 1;
        let mut map = self.maps.code.get(&next, 0).map_err(BpfError::map(names::CODE))?;
        map.generation = self.code.generation;
        map.space = space;
        fill(&mut map, &kept);
        self.maps.code.set(next, map, 0).map_err(BpfError::map(names::CODE))?;
        self.control.code_map = next;
        self.write_control()?;
        self.code.readers.switched(old);
        let settler = Arc::clone(&self.settler);
        self.code.readers.begin(move || settler.settle());
        Ok(())
    }
}

fn fill(map: &mut CodeMap, spans: &[(u64, CodeSpan)]) {
    map.len = spans.len() as u32;
    map.starts.fill(u64::MAX);
    map.spans.fill(CodeSpan::default());
    for (at, (start, span)) in spans.iter().enumerate() {
        map.starts[at] = *start;
        map.spans[at] = *span;
    }
}

/// At most [`MAX_SPANS`], in their order.
fn most_useful(spans: &[(u64, CodeSpan)]) -> Vec<(u64, CodeSpan)> {
    let mut kept = spans.to_vec();
    if kept.len() > MAX_SPANS {
        kept.sort_by_key(|(_, span)| use_of(span));
        kept.truncate(MAX_SPANS);
        kept.sort_unstable_by_key(|(start, _)| *start);
    }
    kept
}

/// The most useful first.
fn use_of(span: &CodeSpan) -> u8 {
    if span.kind == SpanKind::Table as u32 || span.kind == SpanKind::Pending as u32 {
        0
    } else if span.kind == SpanKind::Bare as u32 {
        1
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_free_when_those_that_began_with_it_have_ended() {
        let mut readers = Readers::default();
        let (go, gate) = mpsc::channel::<()>();
        assert!((0..CODE_MAPS).all(|entry| readers.is_free(entry)));
        readers.switched(0);
        assert!(!readers.is_free(0) && readers.is_free(1));
        readers.begin(move || gate.recv().expect("the test goes on"));
        // It goes out of use during the wait, which therefore says nothing about it.
        readers.switched(1);
        go.send(()).expect("the wait goes on");
        while !readers.waiting.is_empty() {
            readers.look();
        }
        assert!(readers.is_free(0) && !readers.is_free(1));
        readers.begin(|| {});
        while !readers.waiting.is_empty() {
            readers.look();
        }
        assert!(readers.is_free(1));
        readers.switched(2);
        assert!(!readers.is_free(2));
        readers.none();
        assert!(readers.is_free(2));
    }

    #[test]
    fn a_wait_that_failed_frees_nothing() {
        let mut readers = Readers::default();
        readers.switched(0);
        let (sender, over) = mpsc::channel();
        readers.waiting.push((1, over));
        drop(sender);
        assert!(!readers.is_free(0) && readers.waiting.is_empty());
    }

    #[test]
    fn code_of_no_object_is_left_out_first() {
        let span = |kind: SpanKind| CodeSpan { kind: kind as u32, ..CodeSpan::default() };
        let mut spans: Vec<_> = (0..1500).map(|at| (at, span(SpanKind::Anonymous))).collect();
        spans[7].1 = span(SpanKind::Bare);
        spans[1499].1 = span(SpanKind::Table);
        let kept = most_useful(&spans);
        assert_eq!(kept.len(), MAX_SPANS);
        assert_eq!(kept.last(), spans.last());
        assert!(kept.contains(&spans[7]) && kept.is_sorted_by_key(|(start, _)| *start));
        assert_eq!(most_useful(&spans[..3]), spans[..3]);
    }
}
