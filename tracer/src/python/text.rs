//! Texts (`str`) in the target.

use super::{Memory, layout::TextLayout};
use crate::symbolize::MAX_NAME;

/// Characters that are read, at most: one more than reports show, so that they say that something is missing.
const MAX_CHARACTERS: usize = MAX_NAME + 1;
/// `PyASCIIObject`: how many characters, and of what kind.
const LENGTH: u64 = 16;
const STATE: u64 = 32;

/// The text at an address, at most as many of its characters as are shown. Surrogates that stand alone, as they do for bytes of a file name
/// that are no UTF-8, become U+FFFD. `None` where there is none that can be read.
pub(super) fn read(memory: &Memory, layout: &TextLayout, address: u64) -> Option<String> {
    let len = memory.u64(address.wrapping_add(LENGTH))?;
    let len = usize::try_from(len).ok()?.min(MAX_CHARACTERS);
    let state = State(memory.u32(address.wrapping_add(STATE))?);
    let start = if state.is_ascii() { layout.ascii } else { layout.compact };
    if !state.is_compact() {
        return None;
    }
    let bytes = memory.bytes(address.wrapping_add(start.into()), len * state.width())?;
    decode(&bytes, state.width())
}

/// `PyASCIIObject.state`: two bits are `interned` in 3.10 to 3.13, three `kind`, then one each.
#[derive(Clone, Copy)]
struct State(u32);

impl State {
    /// Bytes of a character: 1, 2 or 4; anything in memory that is no text.
    fn width(self) -> usize {
        (self.0 >> 2 & 7) as usize
    }

    fn is_compact(self) -> bool {
        self.0 >> 5 & 1 == 1
    }

    fn is_ascii(self) -> bool {
        self.0 >> 6 & 1 == 1
    }
}

fn decode(bytes: &[u8], width: usize) -> Option<String> {
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
