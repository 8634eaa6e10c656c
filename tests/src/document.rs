//! The JSON report.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A report. Accessors panic where the schema is not kept, which fails the test.
#[derive(Clone, Debug)]
pub struct Document(Value);

/// One of its stacks.
#[derive(Clone, Copy, Debug)]
pub struct Stack<'a>(&'a Value);

/// One frame of a stack that is there at run time, so not an inlined one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The path of its object; `None` for code in no object.
    pub module: Option<&'a str>,
    /// Where it goes on, by the object's own headers.
    pub address: u64,
    /// Its function, where that has a name.
    pub function: Option<&'a str>,
}

impl Document {
    /// Reads one document.
    ///
    /// # Errors
    ///
    /// Where it is none.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map(Self)
            .with_context(|| format!("not one JSON document: {text:.2000}"))
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Where it can't be read.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&fs::read_to_string(path).with_context(|| path.display().to_string())?)
    }

    /// What is at a JSON pointer, as in `/totals/net_bytes`.
    ///
    /// # Panics
    ///
    /// Where nothing is.
    #[track_caller]
    pub fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {:#}", self.0))
    }

    /// The integer at a JSON pointer.
    ///
    /// # Panics
    ///
    /// Where there is none.
    #[track_caller]
    pub fn number(&self, pointer: &str) -> i64 {
        integer(self.at(pointer))
    }

    /// Its iterations, the partial last one included.
    ///
    /// # Panics
    ///
    /// Where it has none.
    #[track_caller]
    pub fn iterations(&self) -> &[Value] {
        list(self.at("/iterations"))
    }

    /// Allocations, frees, allocated bytes and freed bytes of one iteration.
    ///
    /// # Panics
    ///
    /// Where there is no such iteration.
    #[track_caller]
    pub fn counts_of(&self, index: usize) -> [i64; 4] {
        ["alloc_blocks", "free_blocks", "alloc_bytes", "free_bytes"]
            .map(|field| integer(&self.iterations()[index][field]))
    }

    /// The same over the whole run.
    #[track_caller]
    pub fn counts(&self) -> [i64; 4] {
        let mut sum = [0; 4];
        for index in 0..self.iterations().len() {
            for (total, count) in sum.iter_mut().zip(self.counts_of(index)) {
                *total += count;
            }
        }
        sum
    }

    /// How many iterations a mark ended, warm-up included.
    pub fn whole_iterations(&self) -> usize {
        self.iterations().iter().filter(|iteration| iteration["partial"] == false).count()
    }

    /// Its stacks.
    ///
    /// # Panics
    ///
    /// Where it has none.
    #[track_caller]
    pub fn stacks(&self) -> Vec<Stack<'_>> {
        list(self.at("/stacks")).iter().map(Stack).collect()
    }

    /// The stacks that grew.
    pub fn growers(&self) -> Vec<Stack<'_>> {
        self.stacks().into_iter().filter(|stack| stack.growth_bytes() > 0).collect()
    }

    /// The stacks for which this line is responsible.
    pub fn stacks_at(&self, file: &Path, line: u64) -> Vec<Stack<'_>> {
        let wanted = Some((file.to_string_lossy().into_owned(), line));
        self.stacks().into_iter().filter(|stack| stack.line() == wanted).collect()
    }

    /// Asserts that the books are closed: nothing lost, and each call seen is one that was recorded or
    /// set aside.
    ///
    /// # Panics
    ///
    /// If they aren't.
    #[track_caller]
    pub fn assert_ledger_closes(&self) {
        let ledger = self.at("/ledger");
        assert_eq!(ledger["complete"], true, "{ledger:#}");
        for side in ["allocs", "frees"] {
            let side = &ledger[side];
            let set_aside: i64 = ["failed", "filtered", "skipped", "pending"]
                .map(|part| integer(&side[part]))
                .iter()
                .sum();
            let lost: i64 = side["lost"]
                .as_object()
                .into_iter()
                .flat_map(|lost| lost.values())
                .map(integer)
                .sum();
            assert_eq!(
                integer(&side["seen"]),
                integer(&side["recorded"]) + set_aside + lost,
                "{ledger:#}"
            );
            assert_eq!(integer(&side["unaccounted"]), 0, "{ledger:#}");
        }
        let allocated: i64 =
            self.iterations().iter().map(|iteration| integer(&iteration["alloc_blocks"])).sum();
        assert_eq!(integer(&ledger["allocs"]["recorded"]), allocated, "{ledger:#}");
    }
}

impl<'a> Stack<'a> {
    /// A number of it.
    ///
    /// # Panics
    ///
    /// Where it has no such field.
    #[track_caller]
    pub fn number(&self, field: &str) -> i64 {
        integer(&self.0[field])
    }

    /// The hash of its frames.
    ///
    /// # Panics
    ///
    /// Where it has none.
    #[track_caller]
    pub fn id(&self) -> &'a str {
        self.0["id"].as_str().unwrap_or_else(|| panic!("no id in {:#}", self.0))
    }

    /// Growth from the baseline to the last mark.
    #[track_caller]
    pub fn growth_bytes(&self) -> i64 {
        self.number("growth_bytes")
    }

    /// How much it grew in an iteration.
    ///
    /// # Panics
    ///
    /// Where it doesn't say.
    #[track_caller]
    pub fn bytes_per_iteration(&self) -> f64 {
        let slope = self.0["bytes_per_iteration"].as_f64();
        slope.unwrap_or_else(|| panic!("no bytes_per_iteration in {:#}", self.0))
    }

    /// Its verdict.
    ///
    /// # Panics
    ///
    /// Where it has none.
    #[track_caller]
    pub fn verdict(&self) -> &'a str {
        self.0["verdict"].as_str().unwrap_or_else(|| panic!("no verdict in {:#}", self.0))
    }

    /// File and line of its responsible frame.
    pub fn line(&self) -> Option<(String, u64)> {
        let frame = self.responsible()?;
        Some((frame["file"].as_str()?.to_owned(), frame["line"].as_u64()?))
    }

    /// Its responsible frame.
    pub fn responsible(&self) -> Option<&'a Value> {
        let index = self.0["responsible"].as_u64()?;
        self.0["frames"].get(usize::try_from(index).ok()?)
    }

    /// The object that called the allocation function; empty where the stack is not known.
    pub fn module(&self) -> &'a str {
        self.0["frames"][0]["module"].as_str().unwrap_or_default()
    }

    /// The functions of its frames, innermost first; `?` for one without a name.
    pub fn functions(&self) -> Vec<&'a str> {
        list(&self.0["frames"])
            .iter()
            .map(|frame| frame["function"].as_str().unwrap_or("?"))
            .collect()
    }

    /// How its unwinding ended.
    ///
    /// # Panics
    ///
    /// Where it doesn't say.
    #[track_caller]
    pub fn unwind(&self) -> &'a str {
        self.0["unwind"].as_str().unwrap_or_else(|| panic!("no unwind in {:#}", self.0))
    }

    /// Its frames, innermost first, without the inlined ones.
    ///
    /// # Panics
    ///
    /// Where one has no address.
    #[track_caller]
    pub fn frames(&self) -> Vec<Frame<'a>> {
        let frames = list(&self.0["frames"]).iter().filter(|frame| frame["inlined"] != true);
        frames
            .map(|frame| Frame {
                module: frame["module"]
                    .as_str()
                    .filter(|module| !module.is_empty() && !module.starts_with('[')),
                address: hexadecimal(&frame["address"]),
                function: frame["function"].as_str(),
            })
            .collect()
    }

    /// File, line and name of its frames of Python's, innermost first; line 0 where it is not known.
    pub fn python_frames(&self) -> Vec<(String, i64, String)> {
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let frames = list(&self.0["frames"]).iter().filter(|frame| frame["language"] == "python");
        frames
            .map(|frame| {
                let line = frame["line"].as_i64().unwrap_or(0);
                (text(&frame["file"]), line, text(&frame["function"]))
            })
            .collect()
    }

    /// Net (bytes, blocks) of each iteration.
    #[track_caller]
    pub fn net(&self) -> Vec<(i64, i64)> {
        let steps = list(&self.0["per_iteration"]).iter();
        steps.map(|step| (integer(&step["net_bytes"]), integer(&step["net_blocks"]))).collect()
    }

    /// Blocks alive at the end: (iteration of birth, blocks, bytes).
    #[track_caller]
    pub fn survivors(&self) -> Vec<(i64, i64, i64)> {
        let cohorts = list(&self.0["survivors"]).iter();
        cohorts
            .map(|c| (integer(&c["born"]), integer(&c["blocks"]), integer(&c["bytes"])))
            .collect()
    }
}

#[track_caller]
fn integer(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is not an integer"))
}

#[track_caller]
fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is not a list"))
}

#[track_caller]
fn hexadecimal(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    number.unwrap_or_else(|| panic!("{value} is not an address"))
}
