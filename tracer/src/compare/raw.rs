//! A JSON report as it is read: only what comparisons need. docs/json.md describes the fields. What may be missing in
//! a report of an older memtrace has a default; what is unknown is skipped.

use serde::Deserialize;
use serde_json::Value;

use crate::symbolize::{Frame, Language};

/// The first thing to look at.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    pub(super) schema_version: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Document {
    pub(super) target: Target,
    #[serde(default)]
    pub(super) settings: Value,
    pub(super) iterations: Vec<Iteration>,
    pub(super) stacks: Vec<Stack>,
    pub(super) ledger: Ledger,
}

#[derive(Debug, Deserialize)]
pub(super) struct Target {
    #[serde(default)]
    pub(super) command: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Iteration {
    #[serde(default = "one")]
    pub(super) merged: u32,
    pub(super) warmup: bool,
    pub(super) partial: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Ledger {
    pub(super) complete: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Stack {
    pub(super) verdict: String,
    pub(super) growth_bytes: i64,
    pub(super) growth_blocks: i64,
    #[serde(default)]
    pub(super) responsible: Option<usize>,
    #[serde(default)]
    pub(super) suppressed: Option<String>,
    pub(super) frames: Vec<RawFrame>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawFrame {
    function: Option<String>,
    module: String,
    address: String,
    offset: u64,
    file: Option<String>,
    line: Option<u32>,
    source: Option<String>,
    #[serde(default)]
    inlined: bool,
    #[serde(default)]
    language: Option<String>,
}

fn one() -> u32 {
    1
}

impl From<RawFrame> for Frame {
    fn from(raw: RawFrame) -> Self {
        let digits = raw.address.strip_prefix("0x").unwrap_or(&raw.address);
        Self {
            function: raw.function,
            module: raw.module,
            // What is no address only keeps nameless code from being found again.
            address: u64::from_str_radix(digits, 16).unwrap_or(0),
            offset: raw.offset,
            file: raw.file,
            line: raw.line,
            source: raw.source,
            inlined: raw.inlined,
            language: match raw.language.as_deref() {
                Some("python") => Language::Python,
                _ => Language::Native,
            },
        }
    }
}
