//! Lines of text, one after the other.

use std::fmt::{Display, Write as _};

use anstyle::Style;

use super::Palette;

/// A text being written. Names and source lines come from the target, so control characters are shown, not
/// sent: a file name must not be able to steer the reader's terminal.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) palette: Palette,
    text: String,
}

impl Page {
    pub(super) fn new(palette: Palette) -> Self {
        Self { palette, text: String::new() }
    }

    /// A line without a style.
    pub(super) fn line(&mut self, text: impl Display) {
        self.styled(Style::new(), text);
    }

    /// A line in one style.
    pub(super) fn styled(&mut self, style: Style, text: impl Display) {
        let text = visible(&text.to_string());
        // Writing to a string can't fail.
        let _ = writeln!(self.text, "{style}{text}{style:#}");
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }
}

/// The text with control characters, and those that reorder it, made visible. A tab becomes a space.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => shown.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => shown.extend(c.escape_unicode()),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(visible("a\tb\x1b[31m\r\n\u{202e}ü"), "a b\\u{1b}[31m\\r\\n\\u{202e}ü");
    }
}
