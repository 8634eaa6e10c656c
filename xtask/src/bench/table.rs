//! The table, and the machine that it holds for.

use std::fmt;
use std::fs;

use comfy_table::{CellAlignment, presets};
use xtask::command::ask;

use super::spread::Spread;
use super::variant::Variant;

/// What a workload cost in one variant.
pub(super) struct Row {
    pub(super) workload: String,
    /// What the table calls how it was run.
    pub(super) variant: &'static str,
    pub(super) unit: &'static str,
    pub(super) cost: Spread,
    /// The CPUs' share of the time, where it is known.
    pub(super) busy: Spread,
}

/// All rows, those of a workload together.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Table {
    /// Adds a row and shows it, so that a long run can be followed.
    pub(super) fn push(&mut self, row: Row) {
        println!("bench:   {}: {} {}", row.variant, number(row.cost.median()), row.unit);
        self.rows.push(row);
    }

    /// Adds a sentence that is to stand below.
    pub(super) fn note(&mut self, note: String) {
        println!("bench: {note}");
        self.notes.push(note);
    }

    /// How many times as much as another variant of the same workload.
    fn times(&self, row: &Row, of: Variant) -> String {
        let base = self
            .rows
            .iter()
            .find(|other| other.workload == row.workload && other.variant == of.name());
        let times = base.map(|base| row.cost.median() / base.cost.median());
        times.map_or_else(String::new, |times| format!("{times:.2}"))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([
            "workload",
            "variant",
            "median",
            "min–max",
            "× untraced",
            "× floor",
            "busy",
        ]);
        for row in &self.rows {
            let busy = row.busy.median();
            table.add_row([
                row.workload.clone(),
                row.variant.to_owned(),
                format!("{} {}", number(row.cost.median()), row.unit),
                format!("{}–{}", number(row.cost.min()), number(row.cost.max())),
                self.times(row, Variant::Untraced),
                self.times(row, Variant::Floor),
                if busy.is_nan() { String::new() } else { format!("{:.0} %", busy * 100.0) },
            ]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}")?;
        self.notes.iter().try_for_each(|note| write!(f, "\n\n{note}"))
    }
}

/// Three digits that mean something.
fn number(figure: f64) -> String {
    match figure {
        ..10.0 => format!("{figure:.2}"),
        10.0..100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

/// Date, kernel and CPU, in a line.
pub(super) fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<&str> = cpuinfo
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split(": ").nth(1))
        .collect();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let date = ask(std::process::Command::new("date").arg("+%Y-%m-%d")).unwrap_or_default();
    format!(
        "{}, Linux {}, {} × {}",
        date.trim(),
        release.trim(),
        models.len(),
        models.first().copied().unwrap_or("unknown CPU")
    )
}
