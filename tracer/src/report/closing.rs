//! What frames the final part: the warning on top, RSS and the ledger at its end.

use super::{
    Report, closing_line,
    loss::set_aside_line,
    page::Page,
    size::{counted, signed_size, size},
    stability,
    suppressed::suppressed_line,
};

/// The first line of a report of incomplete data.
pub(super) fn write_warning(report: &Report<'_>, prefix: &str, page: &mut Page) {
    if !report.ledger.complete {
        page.styled(
            page.palette.warning,
            format_args!(
                "{prefix}INCOMPLETE: the figures below are not the whole truth; the last line says what is missing"
            ),
        );
    }
}

/// How many iterations growth rests on.
pub(super) fn basis(report: &Report<'_>) -> String {
    if report.text.in_warmup {
        return "warm-up did not end: growth counts from the start of the trace".to_owned();
    }
    let warmup: u32 = report.iterations.iter().filter(|i| i.warmup).map(|i| i.merged).sum();
    let measured = counted(report.text.measured, "measured iteration");
    format!("{measured} after {warmup} of warm-up")
}

/// RSS, how whole the stacks are, and the ledger.
pub(super) fn write_closing(report: &Report<'_>, prefix: &str, page: &mut Page) {
    if let Some(suppressed) = suppressed_line(&report.suppressions) {
        page.line(format_args!("{prefix}{suppressed}"));
    }
    stability::write(report, prefix, page);
    page.line(format_args!("{prefix}{}", rss_line(report)));
    if let Some(parts) = parts_line(report) {
        page.line(format_args!("{prefix}{parts}"));
    }
    if let Some(aside) = set_aside_line(report.text.events) {
        page.line(format_args!("{prefix}{aside}"));
    }
    if let Some(objects) = report.python_objects {
        page.line(format_args!("{prefix}{}", objects.line()));
    }
    for line in report.unwinding.lines() {
        page.line(format_args!("{prefix}{line}"));
    }
    let style = if report.ledger.complete { anstyle::Style::new() } else { page.palette.warning };
    page.styled(style, format_args!("{prefix}{}", closing_line(report.text.events)));
}

/// What the growth of RSS is made of, where it is known to have changed.
fn parts_line(report: &Report<'_>) -> Option<String> {
    report.text.rss.filter(|_| report.rss.growth_bytes != 0)?;
    let Some(parts) = report.rss.parts else {
        return Some("What RSS changed by: not known (it was not read at two marks)".to_owned());
    };
    let span = if parts.growth_bytes == report.rss.growth_bytes {
        String::new()
    } else {
        format!(
            " (from iteration {} to {}: {})",
            parts.from,
            parts.to,
            signed_size(parts.growth_bytes)
        )
    };
    Some(format!(
        "What RSS changed by{span}: live blocks {}, allocator's reserve {}, mappings (mmap, brk) {}, not traced {}",
        signed_size(parts.heap_bytes),
        signed_size(parts.allocator_retained_bytes),
        signed_size(parts.mappings_bytes),
        signed_size(parts.untraced_bytes),
    ))
}

fn rss_line(report: &Report<'_>) -> String {
    let Some(rss) = report.text.rss else {
        return "RSS: not known".to_owned();
    };
    let size_of = |bytes: u64| size(i64::try_from(bytes).unwrap_or(i64::MAX));
    let growth = report.rss.growth_bytes;
    let explained = if growth > 0 {
        format!(
            "; the traced net change of {} explains {:.0} % of it",
            signed_size(report.totals.net_bytes),
            report.rss.explained_ratio * 100.0
        )
    } else {
        String::new()
    };
    format!(
        "RSS: {} -> {} ({}){explained}",
        size_of(rss.baseline_bytes),
        size_of(rss.last_bytes),
        signed_size(growth)
    )
}
