//! Texts (`str`) in the target.

use tracer_common::{PYTHON_LENGTH, PYTHON_TEXT, PythonText};

use super::object::{Fault, Head, Objects, Source};
use crate::symbolize::MAX_NAME;

/// Characters that are read, at most: one more than reports show, so that they say that something is missing.
const MAX_CHARACTERS: u64 = MAX_NAME as u64 + 1;
/// Bytes of `PyASCIIObject` that say what follows.
const HEAD: usize = PYTHON_TEXT as usize + 8;

/// The text at an address, at most as many of its characters as are shown. Surrogates that stand alone, as they do for bytes of a file name
/// that are no UTF-8, become U+FFFD.
pub(super) fn read<S: Source>(
    objects: &Objects<'_, S>,
    text_type: u64,
    address: u64,
) -> Result<String, Fault> {
    let head = || objects.head(address, text_type, HEAD).map(|head| form(&head));
    let (len, state) = head()?;
    let layout = &objects.layout.text;
    let start = if state.is_ascii() { layout.ascii } else { layout.compact };
    if !state.is_compact() {
        return Err(Fault::Unreadable);
    }
    let bytes = (len.min(MAX_CHARACTERS) * state.width()) as usize;
    let bytes = objects.bytes(address.wrapping_add(start.into()), bytes)?;
    if head()? != (len, state) {
        return Err(Fault::Stale);
    }
    decode(&bytes, state.width()).ok_or(Fault::Unreadable)
}

/// How many characters, and of what kind.
fn form(head: &Head) -> (u64, PythonText) {
    (head.u64(PYTHON_LENGTH as usize), PythonText(head.u32(PYTHON_TEXT as usize)))
}

fn decode(bytes: &[u8], width: u64) -> Option<String> {
    let character = |value| char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
    match width {
        1 => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        2 => {
            let units = bytes.as_chunks().0.iter();
            Some(units.map(|unit| character(u16::from_le_bytes(*unit).into())).collect())
        }
        4 => {
            let units = bytes.as_chunks().0.iter();
            Some(units.map(|unit| character(u32::from_le_bytes(*unit))).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn characters_of_each_width() {
        assert_eq!(decode(b"a\xe9", 1).as_deref(), Some("aé"));
        assert_eq!(decode(&[0x61, 0, 0xe5, 0x65], 2).as_deref(), Some("a日"));
        assert_eq!(decode(&[0x61, 0, 0, 0, 0x40, 0xf6, 1, 0], 4).as_deref(), Some("a🙀"));
        assert_eq!(decode(&[0x80, 0xdc], 2).as_deref(), Some("\u{fffd}"), "a lone surrogate");
        assert_eq!(decode(&[0xff; 4], 4).as_deref(), Some("\u{fffd}"));
        assert_eq!(decode(b"abc", 3), None);
    }
}
