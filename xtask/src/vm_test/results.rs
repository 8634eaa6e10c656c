//! What `guest.sh` sends, taken apart.

use std::collections::BTreeMap;

/// One run of memtrace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The traced program's name.
    pub program: String,
    /// `exec`, `pid`, `threads` or `pools`.
    pub mode: String,
    /// memtrace's exit status.
    pub status: String,
    /// The report.
    pub report: String,
    /// What it said of itself.
    pub said: Vec<String>,
    /// What the program knows of its stacks.
    pub known: String,
}

/// All runs, in their order; `None` where the script did not come to its end.
pub(super) fn parse(results: &str) -> Option<Vec<Outcome>> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for line in results.lines() {
        if line == "@@ end" {
            return Some(outcomes);
        }
        if let Some(head) = line.strip_prefix("@@ ") {
            let mut words = head.split(' ').map(str::to_owned);
            let mut word = || words.next().unwrap_or_default();
            let (program, mode, status) = (word(), word(), word());
            outcomes.push(Outcome { program, mode, status, ..Outcome::default() });
        } else if let Some(outcome) = outcomes.last_mut() {
            if let Some(said) = line.strip_prefix("| ") {
                outcome.said.push(said.to_owned());
            } else if let Some(known) = line.strip_prefix("> ") {
                outcome.known.push_str(known);
                outcome.known.push('\n');
            } else {
                outcome.report.push_str(line);
            }
        }
    }
    None
}

/// How many instructions the kernel's verifier went through, by eBPF program.
pub(super) fn verified(outcome: &Outcome) -> BTreeMap<&str, u64> {
    let line = |said| -> Option<(&str, u64)> {
        let (before, count) =
            str::strip_suffix(said, " instructions verified")?.rsplit_once(": ")?;
        Some((before.rsplit(' ').next()?, count.parse().ok()?))
    };
    outcome.said.iter().map(String::as_str).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "@@ c exec 0\n{}\n| memtrace: leave: 5432 instructions verified\n| done\n\
                        > stack 1 a\n> end\n@@ c pid 1\n\n| memtrace: no\n@@ end";

    #[test]
    fn each_run_has_its_report_and_its_talk() {
        let outcomes = parse(SENT).expect("it has an end");
        let [exec, pid] = outcomes.as_slice() else { panic!("{outcomes:?}") };
        assert_eq!(
            (exec.mode.as_str(), exec.status.as_str(), exec.report.as_str()),
            ("exec", "0", "{}")
        );
        assert_eq!(verified(exec).into_iter().collect::<Vec<_>>(), [("leave", 5432)]);
        assert_eq!((pid.status.as_str(), pid.report.as_str()), ("1", ""));
        assert_eq!(exec.known, "stack 1 a\nend\n");
        assert_eq!(pid.said, ["memtrace: no"]);
    }

    #[test]
    fn what_breaks_off_is_no_result() {
        assert_eq!(parse("@@ c exec 0\n{}\n"), None);
    }
}
