//! What `programs/oracle.c` counted.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

/// Counts by memtrace's rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks allocated.
    pub allocs: i64,
    /// Blocks freed.
    pub frees: i64,
    /// Bytes allocated.
    pub alloc_bytes: i64,
    /// Bytes freed.
    pub free_bytes: i64,
    /// Calls that gave no block.
    pub failed: i64,
    /// Frees of blocks that it did not know.
    pub unknown: i64,
}

impl Counts {
    /// What came since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            allocs: self.allocs - earlier.allocs,
            frees: self.frees - earlier.frees,
            alloc_bytes: self.alloc_bytes - earlier.alloc_bytes,
            free_bytes: self.free_bytes - earlier.free_bytes,
            failed: self.failed - earlier.failed,
            unknown: self.unknown - earlier.unknown,
        }
    }
}

/// Its counts at each mark, and at the end.
#[derive(Clone, Debug)]
pub struct Book {
    /// At the process's end.
    pub end: Counts,
    /// At each mark.
    pub marks: Vec<Counts>,
}

impl Book {
    /// Reads the file that `ORACLE_FILE` named.
    ///
    /// # Errors
    ///
    /// Where it can't be read, or is too short.
    pub fn read(path: &Path) -> Result<Self> {
        const WORD: usize = size_of::<u64>();
        const FIELDS: usize = 6;
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        let words = bytes.chunks_exact(WORD).map(|word| {
            let mut bytes = [0; WORD];
            bytes.copy_from_slice(word);
            i64::from_ne_bytes(bytes)
        });
        let words: Vec<i64> = words.collect();
        let marks = usize::try_from(*words.get(FIELDS).context("the book is too short")?)?;
        let records = words.get(FIELDS + 1..FIELDS + 1 + marks * FIELDS);
        let records = records.context("the book is too short")?;
        let end = counts(&words[..FIELDS]);
        Ok(Self { end, marks: records.chunks_exact(FIELDS).map(counts).collect() })
    }
}

fn counts(words: &[i64]) -> Counts {
    Counts {
        allocs: words[0],
        frees: words[1],
        alloc_bytes: words[2],
        free_bytes: words[3],
        failed: words[4],
        unknown: words[5],
    }
}
