//! Text from a target's files, made safe to print.

/// Longest source line that is shown, in characters.
pub(super) const MAX_LINE: usize = 200;

/// Longest function or file name that is shown, in characters. Template instances do reach thousands.
pub(crate) const MAX_NAME: usize = 4096;

/// Replaces whatever could move a terminal's cursor, colour it or reorder what is read, and cuts the rest
/// off at `max` characters.
pub(crate) fn clean(text: &str, max: usize) -> String {
    let mut chars = text.chars().map(|c| match c {
        '\t' => ' ',
        c if c.is_control() || reorders(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    });
    let mut clean: String = chars.by_ref().take(max).collect();
    if chars.next().is_some() {
        clean.pop();
        clean.push('…');
    }
    clean
}

/// Line and paragraph separators, and the bidirectional controls of "Trojan Source" (CVE-2021-42574).
fn reorders(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn escapes_and_bidi_controls_do_not_get_through() {
        assert_eq!(
            clean("a\x1b[31mb\u{9b}c\rd\u{202e}e", 99),
            "a\u{fffd}[31mb\u{fffd}c\u{fffd}d\u{fffd}e"
        );
    }

    #[test]
    fn tabs_become_spaces_and_other_scripts_stay() {
        assert_eq!(clean("x\t= \"žluťoučký 日本\";", 99), "x = \"žluťoučký 日本\";");
    }

    #[test]
    fn long_text_is_cut_with_a_mark() {
        assert_eq!(clean("abcdef", 4), "abc…");
        assert_eq!(clean("abcd", 4), "abcd");
    }
}
