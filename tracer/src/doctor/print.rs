//! The findings as text.

use super::{Finding, State};

/// Writes the findings under their headings, and a last line that sums them up.
pub(super) fn text(sections: &[(String, Vec<Finding>)]) -> String {
    let mut lines = Vec::new();
    for (heading, findings) in sections {
        lines.push(format!("{heading}:"));
        lines.extend(findings.iter().flat_map(entry));
    }
    lines.push(summary(sections));
    lines.join("\n") + "\n"
}

fn entry(finding: &Finding) -> Vec<String> {
    let state = match finding.state {
        State::Ok => "ok  ",
        State::Warn => "warn",
        State::Bad => "BAD ",
    };
    let mut details = finding.detail.lines();
    let first = details.next().unwrap_or_default();
    let mut lines = vec![format!("  {state}  {}: {first}", finding.what)];
    lines.extend(details.map(|line| format!("          {line}")));
    lines.extend(finding.remedy.iter().map(|remedy| format!("        > {remedy}")));
    lines
}

fn summary(sections: &[(String, Vec<Finding>)]) -> String {
    let all = || sections.iter().flat_map(|(_, findings)| findings);
    let count = |state| all().filter(|finding| finding.state == state).count();
    match (count(State::Bad), count(State::Warn)) {
        (0, 0) => "All is well.".to_owned(),
        (0, warnings) => format!("memtrace works; to look at: {warnings}"),
        (bad, _) => format!("memtrace does not work here; to mend first: {bad}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_tells_the_worst() {
        let fine = Finding::ok("memory", "20.6 MiB\nper block 96 B");
        let poor = Finding::warn("names", "no debug information", "build it with -g");
        let broken = Finding::bad("user", "not root", "sudo memtrace");
        assert_eq!(
            text(&[
                ("This machine".to_owned(), vec![fine.clone(), broken]),
                ("Process 7".to_owned(), vec![poor.clone()])
            ]),
            "This machine:\n  ok    memory: 20.6 MiB\n          per block 96 B\n  BAD   user: not root\n        \
             > sudo memtrace\nProcess 7:\n  warn  names: no debug information\n        > build it with -g\n\
             memtrace does not work here; to mend first: 1\n"
        );
        assert!(text(&[(String::new(), vec![poor])]).ends_with("memtrace works; to look at: 1\n"));
        assert!(text(&[(String::new(), vec![fine])]).ends_with("All is well.\n"));
    }
}
