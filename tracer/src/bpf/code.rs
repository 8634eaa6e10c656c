//! Where the target's code lies, and how to unwind it: what the kernel side is told.

use std::thread::{self, JoinHandle};

use tracer_common::{CodeMap, CodeSpan, MAX_SPANS, Space, SpanKind, names};

use super::{BpfError, Kernel, kernel::settle};

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct CodeState {
    generation: u32,
    /// Waits for the programs that still read the code map that was in use before.
    settling: Option<JoinHandle<()>>,
    warned: bool,
}

impl Kernel {
    /// The target stands still, in all its threads: none of the programs is at work. Saves waiting for them.
    pub fn target_stands_still(&mut self) {
        self.code.settling = None;
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
        if let Some(settling) = self.code.settling.take() {
            // It does not panic.
            let _ = settling.join();
        }
        self.code.generation += 1;
        let next = 1 - self.control.code_map;
        let mut map = self.maps.code.get(&next, 0).map_err(BpfError::map(names::CODE))?;
        map.generation = self.code.generation;
        map.space = space;
        fill(&mut map, &kept);
        self.maps.code.set(next, map, 0).map_err(BpfError::map(names::CODE))?;
        self.control.code_map = next;
        self.write_control()?;
        // Meanwhile we have other things to do. Without a thread, we wait.
        let settling = thread::Builder::new().name("settle".to_owned()).spawn(settle);
        self.code.settling = settling.inspect_err(|_| settle()).ok();
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
