//! What may be written into the control FIFO: bytes to words, whatever the bytes are.

use thiserror::Error;

/// Longest line, in bytes. What a pipe takes in one piece, so that the lines of several writers don't mix.
const LONGEST_LINE: usize = 4096;

/// Longest label, in bytes: there may be 10 000 of them.
const LONGEST_LABEL: usize = 200;

/// Characters that an answer quotes of a word.
const QUOTED: usize = 40;

/// A thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// End the iteration, under this name.
    Snapshot(Option<String>),
    /// Record what is allocated.
    Enable,
    /// Don't.
    Disable,
    /// End the run.
    Stop,
    /// Only answer.
    Ping,
}

/// Why a line was not obeyed; the text is the answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    /// No such word.
    #[error("unknown word {word}; the words are snapshot [LABEL], enable, disable, stop and ping")]
    Unknown {
        /// Its beginning, quoted.
        word: String,
    },
    /// More than a word.
    #[error("{word} takes no argument")]
    Argument {
        /// Which.
        word: &'static str,
    },
    /// A label that could not be shown.
    #[error("a label has at most {LONGEST_LABEL} bytes, and no control characters")]
    Label,
    /// No text.
    #[error("the line is not UTF-8")]
    NotText,
    /// A line without end.
    #[error("the line has more than {LONGEST_LINE} bytes")]
    TooLong,
    /// The writer went away in the middle of a line.
    #[error("the line has no end, and its writer has gone; end each with a newline")]
    Unfinished,
    /// As many marks as there is room for are waiting.
    #[error("marks come too fast: this one was merged with the next")]
    Merged,
    /// The run is over.
    #[error("the trace has ended")]
    Ended,
}

/// What a line came to.
pub(crate) type Said = Result<Word, Refused>;

/// Takes bytes apart into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    /// Whether the rest of a line that was too long is still to come.
    skipping: bool,
}

impl Lines {
    /// Takes the next bytes in, and gives each line that they complete. Blank lines are none.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut say: impl FnMut(Said)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            bytes = &bytes[end + 1..];
            if std::mem::take(&mut self.skipping) {
                say(Err(Refused::TooLong));
            } else if !self.partial.trim_ascii().is_empty() {
                say(word(&self.partial));
            }
            self.partial.clear();
        }
        self.keep(bytes);
    }

    /// All writers have gone.
    pub(super) fn end(&mut self) -> Option<Refused> {
        let cut = std::mem::take(&mut self.skipping) | !self.partial.is_empty();
        self.partial.clear();
        cut.then_some(Refused::Unfinished)
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.skipping |= self.partial.len() + bytes.len() > LONGEST_LINE;
        if self.skipping {
            self.partial.clear();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }
}

fn word(line: &[u8]) -> Said {
    let line = std::str::from_utf8(line).map_err(|_| Refused::NotText)?.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim_start();
    let alone =
        |name, word| if rest.is_empty() { Ok(word) } else { Err(Refused::Argument { word: name }) };
    match word {
        "snapshot" if rest.len() > LONGEST_LABEL || rest.contains(char::is_control) => {
            Err(Refused::Label)
        }
        "snapshot" => Ok(Word::Snapshot((!rest.is_empty()).then(|| rest.to_owned()))),
        "enable" => alone("enable", Word::Enable),
        "disable" => alone("disable", Word::Disable),
        "stop" => alone("stop", Word::Stop),
        "ping" => alone("ping", Word::Ping),
        other => {
            let word = other.chars().take(QUOTED).collect::<String>();
            Err(Refused::Unknown { word: format!("{word:?}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(lines: &mut Lines, bytes: &[u8]) -> Vec<Said> {
        let mut all = Vec::new();
        lines.feed(bytes, |said| all.push(said));
        all
    }

    fn one(line: &str) -> Said {
        let mut all = said(&mut Lines::default(), format!("{line}\n").as_bytes());
        assert_eq!(all.len(), 1, "{line:?}");
        all.remove(0)
    }

    #[test]
    fn the_words() {
        assert_eq!(one("snapshot"), Ok(Word::Snapshot(None)));
        let label = "batch 7, größer".to_owned();
        assert_eq!(one("  snapshot  batch 7, größer \r"), Ok(Word::Snapshot(Some(label))));
        assert_eq!(one("enable"), Ok(Word::Enable));
        assert_eq!(one("disable"), Ok(Word::Disable));
        assert_eq!(one("stop"), Ok(Word::Stop));
        assert_eq!(one("ping"), Ok(Word::Ping));
    }

    #[test]
    fn what_is_no_word_is_refused_by_name() {
        assert_eq!(one("stop now"), Err(Refused::Argument { word: "stop" }));
        let unknown = one("Snapshot").expect_err("words are lower-case").to_string();
        assert!(unknown.starts_with("unknown word \"Snapshot\"; the words are "), "{unknown}");
        let hostile =
            one(&format!("\x1b[2J{}", "x".repeat(3000))).expect_err("no word").to_string();
        assert!(hostile.len() < 200 && !hostile.contains('\x1b'), "{hostile}");
        assert_eq!(one("snapshot a\x1b[2Jb"), Err(Refused::Label));
        assert_eq!(one(&format!("snapshot {}", "x".repeat(201))), Err(Refused::Label));
        assert!(one(&format!("snapshot {}", "x".repeat(200))).is_ok());
        assert_eq!(said(&mut Lines::default(), b"\xff\xfe\n"), [Err(Refused::NotText)]);
    }

    #[test]
    fn a_line_may_come_in_pieces_and_blank_ones_are_none() {
        let mut lines = Lines::default();
        assert_eq!(said(&mut lines, b"\n \n\r\npi"), []);
        assert_eq!(said(&mut lines, b"ng\nsto"), [Ok(Word::Ping)]);
        assert_eq!(lines.end(), Some(Refused::Unfinished));
        assert_eq!(said(&mut lines, b"ping\n"), [Ok(Word::Ping)], "nothing of the other's is left");
        assert_eq!(lines.end(), None);
    }

    #[test]
    fn megabytes_without_an_end_are_not_kept() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            assert_eq!(said(&mut lines, &[b'x'; 4096]), []);
        }
        assert!(lines.partial.capacity() <= 2 * LONGEST_LINE, "{}", lines.partial.capacity());
        assert_eq!(said(&mut lines, b"y\nping\n"), [Err(Refused::TooLong), Ok(Word::Ping)]);
    }

    proptest! {
        /// Cut anywhere, the same bytes say the same.
        #[test]
        fn pieces_say_what_the_whole_says(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), any::<u8>()], 0..600),
            cuts in prop::collection::vec(1..50_usize, 1..50),
        ) {
            let whole = said(&mut Lines::default(), &bytes);
            let mut lines = Lines::default();
            let mut pieces = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.extend(said(&mut lines, piece));
                rest = after;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(pieces, whole);
        }
    }
}
