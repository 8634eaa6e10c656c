//! How a report is put together.

use std::{cmp::Reverse, collections::HashMap};

use tracer_common::{Domain, StackId};

use super::{
    FileEntry, GrowthPart, Inputs, IterationBlock, IterationEntry, LedgerEntry, MappingsEntry,
    PoolsEntry, Report, RssEntry, SCHEMA_VERSION, StabilityEntry, StackEntry, SuppressionEntry,
    Survivor, UnwindingEntry, document::TextParts, python_classes, stack_entry::PerIteration,
};
use crate::{
    analysis::{Cohort, History, Place, Step, Trend, responsible, trend},
    compare::Party,
    gates::{Basis, Outcome, judge},
    ledger::{Iteration, Ledger, MarkTrigger, StackView, Totals},
};

impl<'a> Report<'a> {
    /// Puts a report together, in time proportional to the stacks and their points.
    pub fn build(inputs: Inputs<'a>) -> Self {
        let ledger = inputs.ledger;
        let measured = Measured::of(ledger);
        let mut stacks: Vec<_> =
            ledger.stacks().map(|stack| stack_entry(&inputs, &measured, stack)).collect();
        stacks.sort_unstable_by_key(|stack| {
            (Reverse(stack.growth_bytes), Reverse(stack.live_bytes), stack.key.stack, stack.key)
        });
        let totals = ledger.totals();
        let gates = gates(&inputs, &stacks);
        let rss = ledger.rss();
        Self {
            schema_version: SCHEMA_VERSION,
            target: inputs.target,
            settings: inputs.settings,
            iterations: ledger.iterations().iter().map(IterationEntry::from).collect(),
            files: files(&stacks),
            totals: totals.into(),
            rss: RssEntry::new(rss, totals.net_bytes(), ledger.memory()),
            stability: StabilityEntry::new(&inputs),
            ledger: LedgerEntry::from(inputs.events),
            unwinding: UnwindingEntry::new(&stacks),
            mappings: MappingsEntry::new(&inputs),
            python_objects: inputs.python_objects,
            python_classes: python_classes::entries(ledger),
            python_classes_read: python_classes::readings(ledger),
            python_pools: PoolsEntry::new(&inputs),
            suppressions: SuppressionEntry::all(inputs.judging.suppressions, &stacks),
            gates,
            text: TextParts {
                top: inputs.top,
                block: final_block(&inputs, &stacks, totals),
                measured: ledger.measured(),
                in_warmup: ledger.in_warmup(),
                rss,
                events: inputs.events,
            },
            stacks,
        }
    }
}

/// The measured entries of the list of iterations; they are neighbours.
struct Measured<'a> {
    first: usize,
    iterations: &'a [Iteration],
    /// Whether survivors say anything.
    one_process: bool,
}

impl<'a> Measured<'a> {
    fn of(ledger: &'a Ledger) -> Self {
        let all = ledger.iterations();
        let first = all.iter().position(Iteration::measured).unwrap_or(all.len());
        let count = all[first..].iter().take_while(|iteration| iteration.measured()).count();
        let one_process = !ledger.has_several_processes();
        Self { first, iterations: &all[first..first + count], one_process }
    }

    fn trend(&self, stack: &StackView<'_>, survivors: &[Survivor]) -> Trend {
        let steps: Vec<_> = stack
            .series()
            .points()
            .iter()
            .filter_map(|point| {
                let at = (point.entry as usize).checked_sub(self.first)?;
                let step = Step { at, net: point.net, alloc_blocks: point.alloc_blocks };
                (at < self.iterations.len()).then_some(step)
            })
            .collect();
        let cohorts: Vec<_> = survivors
            .iter()
            .filter(|_| self.one_process)
            .map(|&Survivor { born, blocks, bytes }| Cohort { born, blocks, bytes })
            .collect();
        trend(&History {
            iterations: self.iterations,
            steps: &steps,
            baseline: stack.baseline(),
            live: if self.one_process { stack.live() } else { stack.at_last_mark() },
            cohorts: &cohorts,
        })
    }
}

fn stack_entry<'a>(
    inputs: &Inputs<'a>,
    measured: &Measured<'_>,
    stack: StackView<'a>,
) -> StackEntry<'a> {
    let key = stack.key();
    let named = inputs.stacks.get(&key);
    let frames = named.map_or(&[][..], |named| &named.frames);
    let (live, growth, counts) = (stack.live(), stack.growth(), stack.counts());
    let survivors = survivors(inputs, &stack);
    let trend = measured.trend(&stack, &survivors);
    StackEntry {
        domain: domain_name(key.stack),
        id: format!("{:#018x}", key.stack.0),
        space: key.space.0,
        verdict: trend.verdict,
        bytes_per_iteration: trend.bytes_per_iteration,
        live_bytes: live.bytes,
        live_blocks: live.blocks,
        growth_bytes: growth.bytes,
        growth_blocks: growth.blocks,
        alloc_bytes: counts.alloc_bytes,
        alloc_blocks: counts.alloc_blocks,
        temporary_bytes: counts.temporary_bytes(),
        temporary_blocks: counts.temporary_blocks(),
        unwind: named.map_or("unknown", |named| named.unwind),
        python_unwind: named.and_then(|named| named.python),
        suppressed: named
            .and_then(|named| inputs.judging.suppressions.get(named.suppressed?))
            .map(|suppression| suppression.pattern.text()),
        responsible: responsible(frames),
        per_iteration: PerIteration {
            entries: inputs.ledger.iterations().len(),
            series: stack.series(),
        },
        survivors,
        frames,
        key,
        place: Place::of_stack(key, named),
    }
}

/// The name of a stack's domain in the document.
fn domain_name(stack: StackId) -> &'static str {
    match stack.domain() {
        Domain::Heap => "heap",
        Domain::Python => "python",
    }
}

fn gates<'a>(inputs: &Inputs<'a>, stacks: &[StackEntry<'a>]) -> Vec<Outcome<'a>> {
    let judging = inputs.judging;
    let ledger = inputs.ledger;
    let marked = |iteration: &Iteration| iteration.trigger != MarkTrigger::End;
    let basis = Basis {
        measured: ledger.measured(),
        in_warmup: ledger.in_warmup(),
        unmarked: judging.marks_expected && !ledger.iterations().iter().any(marked),
    };
    let unsuppressed = stacks.iter().filter(|stack| stack.suppressed.is_none());
    let run = Party {
        program: Party::program_of(&inputs.target.command),
        members: unsuppressed.map(StackEntry::member).collect(),
    };
    judge(judging.gates, basis, &run, judging.baseline)
}

fn survivors(inputs: &Inputs<'_>, stack: &StackView<'_>) -> Vec<Survivor> {
    let cohorts = inputs.survivors.get(&stack.key()).cloned().unwrap_or_default();
    by_entry(inputs.ledger.iterations(), cohorts)
}

/// By birth; those of merged iterations together, under the first one's number.
pub(super) fn by_entry(iterations: &[Iteration], mut cohorts: Vec<Survivor>) -> Vec<Survivor> {
    for cohort in &mut cohorts {
        let after = iterations.partition_point(|iteration| iteration.index <= cohort.born);
        if let Some(iteration) = after.checked_sub(1).map(|at| &iterations[at]) {
            cohort.born = iteration.index;
        }
    }
    cohorts.sort_unstable();
    cohorts.dedup_by(|next, kept| {
        let same = next.born == kept.born;
        if same {
            kept.blocks = kept.blocks.saturating_add(next.blocks);
            kept.bytes = kept.bytes.saturating_add(next.bytes);
        }
        same
    });
    cohorts
}

fn files<'a>(stacks: &[StackEntry<'a>]) -> Vec<FileEntry<'a>> {
    let mut sums: HashMap<&'a str, FileEntry<'a>> = HashMap::new();
    for stack in stacks {
        let file = stack.place.file();
        let sum = sums.entry(file).or_insert(FileEntry { file, live_bytes: 0, growth_bytes: 0 });
        sum.live_bytes = sum.live_bytes.saturating_add(stack.live_bytes);
        sum.growth_bytes = sum.growth_bytes.saturating_add(stack.growth_bytes);
    }
    let mut files: Vec<_> = sums.into_values().collect();
    files.sort_unstable_by_key(|file| {
        (Reverse(file.growth_bytes), Reverse(file.live_bytes), file.file)
    });
    files
}

fn final_block<'a>(
    inputs: &Inputs<'a>,
    stacks: &[StackEntry<'a>],
    totals: Totals,
) -> IterationBlock<'a> {
    IterationBlock::new(
        inputs.top,
        inputs.ledger.peak_bytes(),
        inputs.ledger.baseline().bytes,
        || stacks.iter().map(|stack| (stack.place, stack.live())),
        Some(GrowthPart::new(
            inputs.top,
            totals,
            stacks
                .iter()
                .filter(|stack| stack.suppressed.is_none())
                .map(|stack| (stack.place, stack.growth())),
        )),
    )
}
