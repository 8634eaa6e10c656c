//! What a comparison prints.

use std::path::Path;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Palette, diff_json, diff_text, samples::text};
use crate::compare::{Diff, Filter, Recording, samples::document};

fn recordings() -> [Recording; 2] {
    let mut before = document(
        &[
            (&["leak", "handle", "main"], 500_000),
            (&["fill", "main"], 3_000_000),
            (&["steady", "main"], 70),
            (&["known", "main"], 999),
            (&[], 0),
        ],
        5,
    );
    let mut after = document(
        &[
            (&["leak", "handle", "main"], 10_000_000),
            (&["remember", "handle", "main"], 50_000),
            (&["steady", "main"], 140),
            (&["known", "main"], 9999),
            (&["quiet", "main"], 0),
            (&[], 96),
        ],
        10,
    );
    before["stacks"][1]["verdict"] = json!("plateau");
    before["stacks"][3]["suppressed"] = json!("known");
    after["stacks"][0]["frames"][0]["line"] = json!(47);
    after["stacks"][0]["frames"][0]["source"] = json!("p = malloc(n);");
    after["ledger"]["complete"] = json!(false);
    after["settings"]["min_size"] = json!(32);
    [("before.json", before), ("after.json", after)].map(|(name, report)| {
        let text = report.to_string();
        Recording::parse(text.as_bytes(), Path::new(name)).unwrap_or_else(|e| panic!("{e}"))
    })
}

#[test]
fn in_words() {
    let [before, after] = recordings();
    let diff = Diff::new(&before, &after);
    let plain = |filter, top| text(diff_text(&diff, filter, top, Palette::plain()));
    let filters = [Filter::Increased, Filter::Changed, Filter::Any];
    let all = filters.map(|filter| format!("=== {filter:?}\n{}", plain(filter, 10)));
    assert_snapshot!(format!("{}=== the first of each\n{}", all.concat(), plain(Filter::Any, 1)));
    let same = Diff::new(&before, &before);
    assert_snapshot!(text(diff_text(&same, Filter::Changed, 10, Palette::plain())));
    let coloured = diff_text(&diff, Filter::Changed, 10, Palette::colour());
    let stripped = anstream::adapter::strip_bytes(&coloured).into_vec();
    assert_eq!(text(stripped), plain(Filter::Changed, 10));
}

#[test]
fn as_json() {
    let [before, after] = recordings();
    let diff = Diff::new(&before, &after);
    let document: Value =
        serde_json::from_slice(&diff_json(&diff, Filter::Changed, 2)).expect("it is JSON");
    assert_snapshot!(serde_json::to_string_pretty(&document).expect("it was JSON before"));
}
