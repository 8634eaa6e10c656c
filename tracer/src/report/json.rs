//! The JSON document.

use super::Report;

/// The report as one JSON document on one line. docs/json.md describes it.
pub fn json(report: &Report<'_>) -> Vec<u8> {
    // Writing to memory can't fail, and no map of the report has keys other than strings.
    let mut bytes = serde_json::to_vec(report).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
