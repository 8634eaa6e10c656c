//! The findings as text.

use super::{Finding, State};

/// Writes the findings under their headings, and a last line that sums them up.
pub(super) fn text(sections: &[(String, Vec<Finding>)]) -> String {
    let mut text = String::new();
    for (heading, findings) in sections {
        text.push_str(&format!("{heading}:\n"));
        findings.iter().for_each(|finding| text.push_str(&entry(finding)));
    }
    let count =
        |state| sections.iter().flat_map(|(_, all)| all).filter(|one| one.state == state).count();
    text.push_str(&match (count(State::Bad), count(State::Warn)) {
        (0, 0) => "All is well.\n".to_owned(),
        (0, warnings) => format!("memtrace works; to look at: {warnings}\n"),
        (bad, _) => format!("memtrace does not work here; to mend first: {bad}\n"),
    });
    text
}

fn entry(finding: &Finding) -> String {
    let state = match finding.state {
        State::Ok => "ok  ",
        State::Warn => "warn",
        State::Bad => "BAD ",
    };
    let mut lines = finding.detail.lines();
    let mut entry = format!("  {state}  {}: {}\n", finding.what, lines.next().unwrap_or_default());
    for line in lines {
        entry.push_str(&format!("          {line}\n"));
    }
    if let Some(remedy) = &finding.remedy {
        entry.push_str(&format!("        > {remedy}\n"));
    }
    entry
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
