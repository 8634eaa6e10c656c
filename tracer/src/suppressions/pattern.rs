//! The pattern language of LeakSanitizer's suppressions.

/// A pattern: text that may stand anywhere in a name, with `*` for any characters, `^` in front for the name's
/// beginning, and `$` for its end. What follows a `$` is ignored, as LeakSanitizer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// What stands between the asterisks, in order. Never empty.
    pieces: Vec<String>,
    from_start: bool,
    to_end: bool,
}

impl Pattern {
    /// Takes a pattern as it is written. `None` for one without any text.
    pub fn new(text: &str) -> Option<Self> {
        let (rest, from_start) = match text.strip_prefix('^') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (rest, to_end) = match rest.split_once('$') {
            Some((rest, _)) => (rest, true),
            None => (rest, false),
        };
        (!rest.is_empty()).then(|| Self {
            text: text.to_owned(),
            pieces: rest.split('*').map(str::to_owned).collect(),
            from_start,
            to_end,
        })
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a name matches. An empty one, or one that isn't known, never does.
    pub fn matches(&self, name: &str) -> bool {
        if name.is_empty() {
            return false;
        }
        let (last, before) = match self.pieces.split_last() {
            Some((last, before)) => (last.as_str(), before),
            None => return false,
        };
        let mut rest = name;
        let mut anchored = self.from_start;
        for piece in before {
            let Some(after) = skip(rest, piece, anchored) else { return false };
            rest = after;
            anchored = false;
        }
        match (anchored, self.to_end) {
            (true, true) => rest == last,
            (false, true) => rest.ends_with(last),
            (anchored, false) => skip(rest, last, anchored).is_some(),
        }
    }
}

/// What follows the first place where `piece` stands; or the very beginning, if it is to stand there.
fn skip<'a>(text: &'a str, piece: &str, anchored: bool) -> Option<&'a str> {
    if anchored {
        return text.strip_prefix(piece);
    }
    text.find(piece).map(|at| &text[at + piece.len()..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Pattern;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).is_some_and(|pattern| pattern.matches(name))
    }

    #[test]
    fn text_may_stand_anywhere() {
        for (pattern, yes, no) in [
            ("foo", &["foo", "xfoo", "foox", "a::foo(b)"][..], &["fo", "Foo", ""][..]),
            ("^foo", &["foo", "foox"], &["xfoo"]),
            ("foo$", &["foo", "xfoo", "foofoo"], &["foox"]),
            ("^foo$", &["foo"], &["xfoo", "foox", "foofoo"]),
            ("f*o", &["fo", "fxo", "afxxob"], &["of"]),
            ("^f*o$", &["fo", "fxo", "foxo"], &["afo", "fob", "f"]),
            ("^*foo", &["foo", "xfoo"], &["fo"]),
            ("foo*$", &["foo", "foox"], &["fo"]),
            ("*", &["x"], &[""]),
            ("a*b*c", &["abc", "xaxbxcx"], &["acb", "ab"]),
            ("^a*a$", &["aa", "aba"], &["a"]),
            ("**a**", &["a", "bab"], &["b"]),
            ("foo$bar", &["xfoo"], &["foo$bar", "foobar"]),
            ("libfoo.so", &["/usr/lib/libfoo.so.1"], &["/usr/lib/libfooxso"]),
            ("ü*ß", &["aüßb", "ü-ß"], &["ßü"]),
        ] {
            for name in yes {
                assert!(matches(pattern, name), "{pattern} should match {name:?}");
            }
            for name in no {
                assert!(!matches(pattern, name), "{pattern} should not match {name:?}");
            }
        }
    }

    #[test]
    fn a_pattern_without_text_is_none() {
        for text in ["", "^", "$", "^$", "$foo"] {
            assert_eq!(Pattern::new(text), None, "{text}");
        }
    }

    /// By trying everything: what the pattern means, said in another way.
    fn tried(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|skipped| tried(rest, &name[skipped..])),
            Some((c, rest)) => name.first() == Some(c) && tried(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_means_what_trying_everything_finds(
            start in any::<bool>(),
            text in "[ab*]{1,6}",
            end in any::<bool>(),
            name in "[ab]{1,8}",
        ) {
            let pattern = format!("{}{text}{}", if start { "^" } else { "" }, if end { "$" } else { "" });
            let whole = format!("{}{text}{}", if start { "" } else { "*" }, if end { "" } else { "*" });
            prop_assert_eq!(matches(&pattern, &name), tried(whole.as_bytes(), name.as_bytes()));
        }
    }
}
