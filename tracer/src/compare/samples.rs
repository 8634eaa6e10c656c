//! Reports for tests.

use serde_json::{Value, json};

/// A report of `/opt/app` with `iterations` measured iterations and these stacks: functions from the innermost on, each
/// at line 10 × its name's length, and growth in bytes.
pub(crate) fn document(stacks: &[(&[&str], i64)], iterations: usize) -> Value {
    let frame = |name: &&str| {
        json!({
            "function": name, "module": "/opt/app", "address": "0x1234", "offset": 16,
            "file": "/src/app.c", "line": 10 * name.len(), "source": null, "inlined": false, "language": "native",
        })
    };
    let stacks: Vec<_> = stacks
        .iter()
        .map(|(functions, growth)| {
            json!({
                "verdict": if *growth > 0 { "growing" } else { "stable" },
                "growth_bytes": growth, "growth_blocks": growth / 10,
                "responsible": 0, "suppressed": null,
                "frames": functions.iter().map(frame).collect::<Vec<_>>(),
            })
        })
        .collect();
    let iteration = json!({ "merged": 1, "warmup": false, "partial": false });
    json!({
        "schema_version": 1,
        "target": { "pid": 1, "command": ["./app", "--serve"], "exit_status": null },
        "settings": { "warmup": 0, "mark_fn": null, "min_size": 0, "max_size": u64::MAX },
        "iterations": vec![iteration; iterations],
        "stacks": stacks,
        "ledger": { "complete": true },
    })
}
