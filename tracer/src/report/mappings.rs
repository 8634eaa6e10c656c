//! The second domain: what the target mapped, apart from the heap.

use serde::Serialize;

use super::{
    Inputs, Report, Survivor,
    page::Page,
    size::{signed_size, size},
    stack_entry::frames,
};
use crate::{
    analysis::{Place, by_line, responsible},
    ledger::{
        Amount, Iteration, StackKey,
        mappings::{MappedStack, Mappings},
    },
    symbolize::Frame,
};

/// The books of the mappings, and how many changes are missing in them.
#[derive(Clone, Copy, Debug)]
pub struct MappingInputs<'a> {
    /// The books.
    pub books: &'a Mappings,
    /// Changes that the kernel side could not tell.
    pub lost: u64,
}

/// `mappings`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct MappingsEntry<'a> {
    pub live_bytes: u64,
    pub growth_bytes: i64,
    pub mapped_bytes: u64,
    pub unmapped_bytes: u64,
    pub unknown_unmapped_bytes: u64,
    pub complete: bool,
    pub lost: u64,
    pub per_iteration: Vec<MappingStep>,
    pub stacks: Vec<MappedStackEntry<'a>>,
}

/// One of `mappings.per_iteration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct MappingStep {
    pub mapped_bytes: u64,
    pub unmapped_bytes: u64,
    pub live_bytes: u64,
}

/// One of `mappings.stacks`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct MappedStackEntry<'a> {
    pub id: String,
    pub space: u32,
    pub by_allocator: bool,
    pub live_bytes: u64,
    pub growth_bytes: i64,
    pub mapped_bytes: u64,
    pub unmapped_bytes: u64,
    pub unwind: &'a str,
    pub responsible: Option<usize>,
    pub survivors: Vec<BornBytes>,
    #[serde(serialize_with = "frames")]
    pub frames: &'a [Frame],
    #[serde(skip)]
    place: Place<'a>,
}

/// Bytes of one stack, mapped in one iteration, that are mapped at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the schema, described in docs/json.md")]
pub struct BornBytes {
    pub born: u32,
    pub bytes: u64,
}

impl<'a> MappingsEntry<'a> {
    pub(super) fn new(inputs: &Inputs<'a>) -> Self {
        let MappingInputs { books, lost } = inputs.mappings;
        let stacks: Vec<_> = books.stacks().into_iter().map(|s| entry(inputs, &s)).collect();
        let sum = |of: fn(&MappedStackEntry<'a>) -> u64| {
            stacks.iter().fold(0_u64, |sum, stack| sum.saturating_add(of(stack)))
        };
        Self {
            live_bytes: sum(|stack| stack.live_bytes),
            growth_bytes: stacks.iter().map(|stack| stack.growth_bytes).sum(),
            mapped_bytes: sum(|stack| stack.mapped_bytes),
            unmapped_bytes: sum(|stack| stack.unmapped_bytes),
            unknown_unmapped_bytes: books.unknown_unmapped_bytes(),
            complete: lost == 0,
            lost,
            per_iteration: inputs.ledger.iterations().iter().map(MappingStep::from).collect(),
            stacks,
        }
    }

    /// What others than the allocator grew by.
    fn growth_outside(&self) -> i64 {
        self.stacks.iter().filter(|s| !s.by_allocator).map(|stack| stack.growth_bytes).sum()
    }
}

impl From<&Iteration> for MappingStep {
    fn from(iteration: &Iteration) -> Self {
        let totals = iteration.mappings;
        Self {
            mapped_bytes: totals.mapped_bytes,
            unmapped_bytes: totals.unmapped_bytes,
            live_bytes: totals.live_bytes,
        }
    }
}

/// The stacks whose names a report of the mappings needs.
pub fn stacks_of_mappings(books: &Mappings) -> impl Iterator<Item = StackKey> {
    books.stacks().into_iter().map(|stack| stack.key.key)
}

fn entry<'a>(inputs: &Inputs<'a>, stack: &MappedStack) -> MappedStackEntry<'a> {
    let key = stack.key.key;
    let named = inputs.stacks.get(&key);
    let frames = named.map_or(&[][..], |named| &named.frames);
    MappedStackEntry {
        id: format!("{:#018x}", key.stack.0),
        space: key.space.0,
        by_allocator: stack.key.by_allocator,
        live_bytes: stack.live_bytes,
        growth_bytes: stack.growth_bytes,
        mapped_bytes: stack.mapped_bytes,
        unmapped_bytes: stack.unmapped_bytes,
        unwind: named.map_or("unknown", |named| named.unwind),
        responsible: responsible(frames),
        survivors: survivors(inputs, &stack.survivors),
        frames,
        place: Place::of_stack(key, named),
    }
}

/// By birth; those of merged iterations together.
fn survivors(inputs: &Inputs<'_>, cohorts: &[(u32, u64)]) -> Vec<BornBytes> {
    let cohorts = cohorts.iter().map(|&(born, bytes)| Survivor { born, blocks: 0, bytes });
    let merged = super::build::by_entry(inputs.ledger.iterations(), cohorts.collect());
    merged.into_iter().map(|Survivor { born, bytes, .. }| BornBytes { born, bytes }).collect()
}

/// The section of the `--debug` report; nothing where nothing was mapped.
pub(super) fn write_section(report: &Report<'_>, page: &mut Page) {
    let mappings = &report.mappings;
    if mappings.mapped_bytes == 0 && mappings.complete {
        return;
    }
    let bytes = |bytes: u64| size(i64::try_from(bytes).unwrap_or(i64::MAX));
    page.styled(
        page.palette.heading,
        format_args!(
            "[DEBUG] Mappings (mmap, brk), apart from the heap: mapped {}, unmapped {}, live {}, growth {}",
            bytes(mappings.mapped_bytes),
            bytes(mappings.unmapped_bytes),
            bytes(mappings.live_bytes),
            signed_size(mappings.growth_bytes),
        ),
    );
    for by_allocator in [false, true] {
        let who = if by_allocator { " (by the allocator)" } else { "" };
        for (place, growth) in growers(mappings, by_allocator).take(report.text.top) {
            page.styled(page.palette.grew, format_args!("  +{}{who}", size(growth)));
            page.line(format_args!("    {place}"));
        }
    }
    write_loss(mappings, "[DEBUG] ", page);
}

/// The line of the short report: mappings that grew although no allocator asked for them.
pub(super) fn write_line(report: &Report<'_>, page: &mut Page) {
    let mappings = &report.mappings;
    let growth = mappings.growth_outside();
    if growth > 0 {
        let top = growers(mappings, false).next();
        let top = top.map_or_else(String::new, |(place, _)| format!(", most at {}", place.brief()));
        page.line(format_args!(
            "Mappings (mmap, brk) outside of the heap grew by {}{top}",
            size(growth)
        ));
    }
    write_loss(mappings, "", page);
}

fn write_loss(mappings: &MappingsEntry<'_>, prefix: &str, page: &mut Page) {
    if !mappings.complete {
        page.styled(
            page.palette.warning,
            format_args!("{prefix}mappings are incomplete: changes lost: {}", mappings.lost),
        );
    }
}

fn growers<'a>(
    mappings: &MappingsEntry<'a>,
    by_allocator: bool,
) -> impl Iterator<Item = (Place<'a>, i64)> {
    let stacks = mappings.stacks.iter().filter(|stack| stack.by_allocator == by_allocator);
    let rows = by_line(stacks.map(|s| (s.place, Amount { bytes: s.growth_bytes, blocks: 0 })));
    rows.into_iter().filter(|row| row.amount.grew()).map(|row| (row.place, row.amount.bytes))
}
