//! Python's own command line.

/// The switches of one letter that come before the program, in their order. `arguments` are those after the interpreter.
pub(crate) fn switches<'a>(arguments: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    /// Switches with a value: in the same word or the next.
    const WITH_VALUE: [u8; 2] = [b'W', b'X'];
    /// What follows is the program and its own arguments.
    const LAST: [u8; 2] = [b'c', b'm'];
    let mut found = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(word) = arguments.next() {
        let Some(letters) = word.strip_prefix(b"-").filter(|letters| !letters.is_empty()) else {
            break;
        };
        if letters == b"-check-hash-based-pycs" {
            arguments.next();
        }
        if letters.starts_with(b"-") {
            continue;
        }
        for (at, letter) in letters.iter().enumerate() {
            if LAST.contains(letter) {
                return found;
            }
            if WITH_VALUE.contains(letter) {
                if at + 1 == letters.len() {
                    arguments.next();
                }
                break;
            }
            found.push(*letter);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::switches;

    #[test]
    fn before_the_program_only() {
        for (line, expected) in [
            ("-I app.py", "I"),
            ("-bE app.py", "bE"),
            ("-u -X dev -WS -S app.py", "uS"),
            ("-Xdev -Werror app.py -I", ""),
            ("-m app -E", ""),
            ("-uc print() -I", "u"),
            ("--check-hash-based-pycs always -I app.py", "I"),
            ("--help-all -I", "I"),
            ("- -I", ""),
            ("", ""),
        ] {
            let found = switches(line.split_whitespace().map(str::as_bytes));
            assert_eq!(String::from_utf8_lossy(&found), expected, "{line}");
        }
    }
}
