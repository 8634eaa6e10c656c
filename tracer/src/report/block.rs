//! The block of lists that stands after each iteration, and once more at the end for the whole run.

use super::{
    Palette,
    page::Page,
    size::{mib, size},
};
use crate::{
    analysis::{FileRow, LineRow, NamedStacks, Place, by_file, by_line},
    ledger::{Amount, Ledger, StackKey, StackView, Totals},
};

/// The lists of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IterationBlock<'a> {
    /// Rows per list.
    pub top: usize,
    /// Highest live bytes.
    pub peak_bytes: u64,
    /// The same above the baseline.
    pub adjusted_bytes: u64,
    /// What is live, by line.
    pub allocations: Vec<LineRow<'a>>,
    /// What is live, by file.
    pub files: Vec<FileRow<'a>>,
    /// What grew; `None` for the first iteration, which has nothing to be compared with.
    pub growth: Option<GrowthPart<'a>>,
}

/// The second half of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrowthPart<'a> {
    /// The lines that grew.
    pub rows: Vec<LineRow<'a>>,
    /// Growth over all stacks. Stacks of one line may grow and shrink, so this can be more than the rows' sum.
    pub totals: Totals,
}

/// The stacks that the block of the last iteration needs names for.
///
/// These are all that hold memory or changed: the rows are sums over lines, so any of them may be
/// part of any row, and naming only the largest would make the sums wrong.
pub fn stacks_of_interest(ledger: &Ledger) -> Vec<StackKey> {
    ledger
        .stacks()
        .filter(|stack| stack.live() != Amount::ZERO || stack.change() != Amount::ZERO)
        .map(|stack| stack.key())
        .collect()
}

impl<'a> IterationBlock<'a> {
    /// The block of the last iteration, to be built right after it was pushed. `stacks` has names for all
    /// [`stacks_of_interest`]; what is missing is shown as the unknown stack.
    pub fn of_last(ledger: &Ledger, stacks: &'a NamedStacks, top: usize) -> Self {
        let views: Vec<_> = ledger
            .stacks()
            .map(|stack| (Place::of_stack(stack.key(), stacks.get(&stack.key())), stack))
            .collect();
        let growth = ledger.last().is_some_and(|last| last.index > 1).then(|| {
            let suppressed = |stack: &StackView<'_>| {
                stacks.get(&stack.key()).is_some_and(|named| named.suppressed.is_some())
            };
            let growers = views.iter().filter(|(_, stack)| !suppressed(stack));
            let changes = growers.map(|(place, stack)| (*place, stack.change()));
            GrowthPart::new(top, ledger.last_totals(), changes)
        });
        let peak_bytes = ledger.last().map_or(0, |last| last.peak_bytes);
        let live = || views.iter().map(|(place, stack)| (*place, stack.live()));
        Self::new(top, peak_bytes, ledger.baseline().bytes, live, growth)
    }

    pub(super) fn new<I: Iterator<Item = (Place<'a>, Amount)>>(
        top: usize,
        peak_bytes: u64,
        baseline_bytes: i64,
        live: impl Fn() -> I,
        growth: Option<GrowthPart<'a>>,
    ) -> Self {
        let mut allocations = by_line(live());
        allocations.retain(|row| row.amount.grew());
        allocations.truncate(top);
        let mut files = by_file(live());
        files.retain(|row| row.amount.grew());
        files.truncate(top);
        let adjusted_bytes = peak_bytes.saturating_sub(baseline_bytes.max(0) as u64);
        Self { top, peak_bytes, adjusted_bytes, allocations, files, growth }
    }

    pub(super) fn write(&self, page: &mut Page) {
        let heading = page.palette.heading;
        page.styled(
            heading,
            format_args!(
                "[DEBUG] Raw peak usage: {} MiB, Adjusted: {} MiB",
                mib(self.peak_bytes),
                mib(self.adjusted_bytes)
            ),
        );
        page.styled(heading, format_args!("[DEBUG] Top {} memory allocations:", self.top));
        for row in &self.allocations {
            page.line(format_args!("  {} blocks: {}", row.amount.blocks, size(row.amount.bytes)));
            write_place(page, &row.place);
        }
        page.styled(heading, "[DEBUG] Memory usage by file:");
        for row in &self.files {
            page.line(format_args!("  {}: {}", size(row.amount.bytes), row.file));
        }
        if let Some(growth) = &self.growth {
            growth.write(self.top, page);
        }
    }
}

impl<'a> GrowthPart<'a> {
    pub(super) fn new(
        top: usize,
        totals: Totals,
        changes: impl Iterator<Item = (Place<'a>, Amount)>,
    ) -> Self {
        let mut rows = by_line(changes);
        rows.retain(|row| row.amount.grew());
        rows.truncate(top);
        Self { rows, totals }
    }

    fn write(&self, top: usize, page: &mut Page) {
        let (heading, grew) = (page.palette.heading, page.palette.grew);
        page.styled(heading, "[DEBUG] Memory growth analysis:");
        if self.rows.is_empty() {
            page.line("[DEBUG] No significant memory growth detected between snapshots");
        } else {
            page.styled(heading, format_args!("[DEBUG] Top {top} memory growth sources:"));
        }
        for row in &self.rows {
            let Amount { bytes, blocks } = row.amount;
            page.styled(grew, format_args!("  +{}: {blocks} new blocks", size(bytes)));
            write_place(page, &row.place);
        }
        page.line(format_args!("[DEBUG] Total memory growth: {}", size(self.totals.growth_bytes)));
        page.line(format_args!("[DEBUG] Total memory freed: {}", size(self.totals.freed_bytes)));
        page.line(format_args!("[DEBUG] Net memory change: {}", size(self.totals.net_bytes())));
    }
}

pub(super) fn write_place(page: &mut Page, place: &Place<'_>) {
    page.line(format_args!("    {place}"));
    if let Some(source) = place.source() {
        page.styled(page.palette.faint, format_args!("      {source}"));
    }
}

/// The block of one iteration as text, line for line as in docs/cli.md.
pub fn debug_iteration(block: &IterationBlock<'_>, palette: Palette) -> Vec<u8> {
    let mut page = Page::new(palette);
    block.write(&mut page);
    page.into_bytes()
}
