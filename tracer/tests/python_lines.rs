//! Line tables, as each installed interpreter makes and reads them: every instruction of much of its standard library has the
//! line that it says; difference 0.

mod python_support;

use anyhow::{Context as _, Result, ensure};
use memtrace::python::LineTable;
use python_support::interpreters;
use serde_json::Value;

/// Fewer code units than these modules have would mean that they were not found.
const LEAST: usize = 100_000;

#[test]
fn each_instruction_has_the_line_that_python_says() -> Result<()> {
    for python in interpreters() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/lines.py");
        let output = python.command().arg(script).output()?;
        ensure!(output.status.success(), "{python}: {}", String::from_utf8_lossy(&output.stderr));
        let is_3_10 = python.version.minor == 10;
        let (mut units, mut different) = (0, 0);
        for row in String::from_utf8(output.stdout)?.lines() {
            let row: Value = serde_json::from_str(row)?;
            let table = table(&row, is_3_10).context("no table")?;
            let lines = row["lines"].as_array().context("no lines")?;
            for (at, line) in lines.iter().enumerate() {
                let expected = line.as_u64().map(|line| line as u32).filter(|line| *line > 0);
                different += usize::from(table.line_of(i32::try_from(at)?) != expected);
            }
            units += lines.len();
            assert_eq!(table.line_of(-1), Some(table.first_line));
            assert_eq!(table.line_of(i32::try_from(lines.len())?), None, "after the last");
        }
        println!("{python}: {units} code units, {different} differences");
        assert_eq!(different, 0, "{python}, of {units}");
        ensure!(units > LEAST, "{python} has {units} code units only");
    }
    Ok(())
}

fn table(row: &Value, is_3_10: bool) -> Option<LineTable> {
    let digits = row["table"].as_str()?;
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes = (0..digits.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    Some(LineTable { bytes, first_line: row["first"].as_u64()? as u32, is_3_10 })
}
