//! All suppressions of a file, in its order.

use std::{fs, path::Path};

use super::{Pattern, SuppressionError};
use crate::symbolize::Frame;

/// The one kind that is about memory.
const KIND: &str = "leak:";

/// One line of a suppression file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// What it matches.
    pub pattern: Pattern,
    /// The number of its line, from 1.
    pub line: u32,
}

/// What is not to be reported as growth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suppressions(Vec<Suppression>);

impl Suppressions {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Where it can't be read, or a line is something else than `leak:PATTERN`, a comment or empty.
    pub fn read(path: &Path) -> Result<Self, SuppressionError> {
        let text = fs::read_to_string(path)
            .map_err(|source| SuppressionError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Takes a file's text; `path` is for messages.
    ///
    /// # Errors
    ///
    /// Where a line is something else than `leak:PATTERN`, a comment or empty.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SuppressionError> {
        let mut list = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let (line, number) = (line.trim(), at as u32 + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some(pattern) = line.strip_prefix(KIND) else {
                return Err(SuppressionError::OtherKind {
                    path: path.to_owned(),
                    line: number,
                    text: line.chars().take(80).flat_map(char::escape_debug).collect(),
                });
            };
            let pattern = Pattern::new(pattern).ok_or_else(|| SuppressionError::NoPattern {
                path: path.to_owned(),
                line: number,
            })?;
            list.push(Suppression { pattern, line: number });
        }
        Ok(Self(list))
    }

    /// All of them, in the file's order.
    pub fn all(&self) -> &[Suppression] {
        &self.0
    }

    /// The position of the first one that matches the function, source file or object of any frame.
    pub fn matching(&self, frames: &[Frame]) -> Option<usize> {
        self.0.iter().position(|Suppression { pattern, .. }| {
            frames.iter().any(|frame| {
                pattern.matches(&frame.module)
                    || frame.function.as_deref().is_some_and(|name| pattern.matches(name))
                    || frame.file.as_deref().is_some_and(|file| pattern.matches(file))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Suppressions;
    use crate::analysis::samples::{at, within};

    fn parse(text: &str) -> Result<Suppressions, String> {
        Suppressions::parse(text, Path::new("s.txt")).map_err(|error| error.to_string())
    }

    #[test]
    fn any_frame_by_function_file_or_object() -> Result<(), String> {
        let text = "# known\n\n  leak:^fill$ \r\nleak:retry.c\nleak:libssl.so\n";
        let list = parse(text)?;
        let lines: Vec<_> = list.all().iter().map(|one| (one.line, one.pattern.text())).collect();
        assert_eq!(lines, [(3, "^fill$"), (4, "retry.c"), (5, "libssl.so")]);
        let main = || at("main", "/src/app.c", 1);
        for (frames, expected) in [
            (vec![at("fill", "/src/cache.c", 7), main()], Some(0)),
            (vec![at("refill", "/src/cache.c", 7), main()], None),
            (vec![main(), at("go", "/src/retry.c", 9)], Some(1)),
            (vec![within("/usr/lib/libssl.so.3", ""), main()], Some(2)),
            // The first one in the file decides, not the innermost frame.
            (vec![within("/usr/lib/libssl.so.3", "fill"), main()], Some(0)),
            (vec![], None),
        ] {
            assert_eq!(list.matching(&frames), expected, "{frames:?}");
        }
        Ok(())
    }

    #[test]
    fn what_is_no_suppression_is_refused() {
        for (text, part) in [
            ("leak:a\nrace:b\n", "line 2, `race:b`"),
            ("foo", "line 1, `foo`"),
            ("leak :x", "write leak:PATTERN"),
            ("\nleak:\n", "line 2 has no pattern"),
            ("leak:^$", "would suppress everything"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
        ] {
            let error = parse(text).map_or_else(|error| error, |list| panic!("{list:?}"));
            assert!(error.contains(part), "{error}");
        }
    }
}
