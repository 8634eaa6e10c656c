//! The Markdown summary, for the page that a pipeline shows of a run.

use std::fmt::{Display, Write as _};

use super::{
    Report,
    closing::basis,
    gate_line::gate_line,
    page::visible,
    short::line_rows,
    size::{signed_size, size},
    suppressed::suppressed_line,
};
use crate::gates::Ruling;

/// Markdown: gates, totals, and the lines that grew. `strict` is whether incomplete data is a failure.
pub fn summary(report: &Report<'_>, strict: bool) -> Vec<u8> {
    let mut text = String::new();
    let mut line = |line: &dyn Display| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{line}");
    };
    line(&format_args!("### memtrace: {}\n", result(report, strict)));
    line(&format_args!("{}\n", code(&report.target.command.join(" "))));
    if let Some(status) = report.target.exit_status.filter(|status| *status != 0) {
        line(&format_args!("**The target ended with status {status}.**\n"));
    }
    if !report.all_recorded() {
        let loss = plain(&report.recorded_line());
        line(&format_args!("**INCOMPLETE: the figures are not the whole truth.** {loss}\n"));
    }
    for outcome in &report.gates {
        let sign = if outcome.result == Ruling::Passed { "" } else { "**" };
        line(&format_args!("- {sign}{}{sign}", plain(&gate_line(outcome))));
    }
    if !report.gates.is_empty() {
        line(&"");
    }
    let rows = line_rows(report);
    if rows.is_empty() {
        line(&"No memory growth.\n");
    } else {
        line(&"| Growth | Blocks | Per iteration | Verdict | Where | Source |");
        line(&"|---:|---:|---:|---|---|---|");
    }
    for row in &rows {
        let [growth, blocks, rate, verdict, place] = row.cells();
        let (place, source) = (cell(&code(&place)), cell(&code(row.source().unwrap_or_default())));
        line(&format_args!("| {growth} | {blocks} | {rate} | {verdict} | {place} | {source} |"));
    }
    if !rows.is_empty() {
        line(&"");
    }
    let totals = report.totals;
    line(&format_args!(
        "{}: growth {}, freed {}, net {} ({} per iteration)\n",
        basis(report),
        size(totals.growth_bytes),
        size(totals.freed_bytes),
        signed_size(totals.net_bytes),
        signed_size((totals.net_bytes as f64 / report.text.measured.max(1) as f64).round() as i64),
    ));
    if let Some(suppressed) = suppressed_line(&report.suppressions) {
        line(&format_args!("{}\n", plain(&suppressed)));
    }
    text.into_bytes()
}

/// In one word, what the exit code says.
fn result(report: &Report<'_>, strict: bool) -> &'static str {
    let gate = |ruling| report.gates.iter().any(|outcome| outcome.result == ruling);
    if report.target.exit_status.is_some_and(|status| status != 0) {
        "the target failed"
    } else if strict && !report.all_recorded() {
        "incomplete"
    } else if gate(Ruling::Undecided) {
        "not judged"
    } else if gate(Ruling::Tripped) {
        "too much growth"
    } else if report.gates.is_empty() {
        "report"
    } else {
        "passed"
    }
}

/// Text that says nothing to Markdown or HTML, whatever is in it.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in visible(text).chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '|' | '#' | '~' | '$')
        {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain
}

/// A code span with this text, whatever is in it; nothing for none.
fn code(text: &str) -> String {
    let text = visible(text);
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    // One more than the longest run in the text ends it.
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// In a table, even code may not have a bare `|`.
fn cell(markdown: &str) -> String {
    markdown.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::{cell, code, plain};

    #[test]
    fn names_can_t_steer_the_page() {
        assert_eq!(
            plain("<b> *x* [y](z) `c` a|b\n#"),
            "\\<b\\> \\*x\\* \\[y\\](z) \\`c\\` a\\|b\\n\\#".replace("\\n", "\\\\n")
        );
        assert_eq!(code("a<b>"), "`a<b>`");
        assert_eq!(code("`a`` b"), "``` `a`` b ```");
        assert_eq!(code("x\r\ny"), "`x\\r\\ny`");
        assert_eq!(code(" "), "");
        assert_eq!(cell(&code("a|b||c")), "`a\\|b\\|\\|c`");
    }
}
