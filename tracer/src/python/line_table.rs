//! Which line an instruction is of, by `co_linetable`: in the format of 3.10, and in that of 3.11 on.

/// A code object's line table, and what it counts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineTable {
    /// The bytes of `co_linetable`.
    pub bytes: Box<[u8]>,
    /// `co_firstlineno`.
    pub first_line: u32,
    /// Whether it is of the format of 3.10.
    pub is_3_10: bool,
}

impl LineTable {
    /// The line, from 1, of an instruction, by its index in code units. Of an instruction before the first (a negative
    /// index), it is that of the whole. `None` where the table has none: some of what the compiler adds has no line, and a
    /// table may be broken.
    pub fn line_of(&self, instruction: i32) -> Option<u32> {
        let Ok(instruction) = u32::try_from(instruction) else { return Some(self.first_line) };
        let line =
            if self.is_3_10 { self.by_deltas(instruction) } else { self.by_entries(instruction) };
        u32::try_from(line?).ok().filter(|line| *line > 0)
    }

    /// 3.10: pairs of bytes, how far the range goes on (in bytes of code) and by how much its line is higher.
    fn by_deltas(&self, instruction: u32) -> Option<i64> {
        let (mut line, mut end) = (i64::from(self.first_line), 0u64);
        for [length, delta] in self.bytes.as_chunks().0 {
            end += u64::from(*length);
            let has_line = delta.cast_signed() != i8::MIN;
            if has_line {
                line += i64::from(delta.cast_signed());
            }
            if u64::from(instruction) * 2 < end {
                return has_line.then_some(line);
            }
        }
        None
    }

    /// 3.11 on: entries of various kinds, each for one to eight code units. Their columns are passed over.
    fn by_entries(&self, instruction: u32) -> Option<i64> {
        let mut rest = self.bytes.iter().copied();
        let (mut line, mut end) = (i64::from(self.first_line), 0u64);
        while let Some(head) = rest.next() {
            let kind = head >> 3 & 15;
            end += u64::from(head & 7) + 1;
            match kind {
                0..=9 => skip(&mut rest, 1)?,
                10..=12 => {
                    line += i64::from(kind - 10);
                    skip(&mut rest, 2)?;
                }
                13 => line += signed(&mut rest)?,
                14 => {
                    line += signed(&mut rest)?;
                    for _ in 0..3 {
                        unsigned(&mut rest)?;
                    }
                }
                _ => {}
            }
            if u64::from(instruction) < end {
                return (kind != NO_LINE).then_some(line);
            }
        }
        None
    }
}

/// The kind of an entry that has no line.
const NO_LINE: u8 = 15;

fn skip(bytes: &mut impl Iterator<Item = u8>, count: usize) -> Option<()> {
    bytes.nth(count - 1).map(|_| ())
}

/// Groups of six bits, the lowest first; bit 6 says that another one follows.
fn unsigned(bytes: &mut impl Iterator<Item = u8>) -> Option<u32> {
    let (mut value, mut shift) = (0u32, 0);
    loop {
        let byte = bytes.next()?;
        value |= u32::from(byte & 63).checked_shl(shift)?;
        if byte & 64 == 0 {
            return Some(value);
        }
        shift += 6;
    }
}

/// The sign is in the lowest bit.
fn signed(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let value = i64::from(unsigned(bytes)?);
    Some(if value & 1 == 1 { -(value >> 1) } else { value >> 1 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::LineTable;

    fn table(is_3_10: bool, bytes: &[u8]) -> LineTable {
        LineTable { bytes: bytes.into(), first_line: 10, is_3_10 }
    }

    #[test]
    fn ranges_of_3_10() {
        // Two instructions on 10, an empty range, one without a line, one on 8.
        let table = table(true, &[4, 0, 0, 2, 2, 128, 2, 252]);
        let lines: Vec<_> = (-1..5).map(|at| table.line_of(at)).collect();
        assert_eq!(lines, [Some(10), Some(10), Some(10), None, Some(8), None]);
    }

    #[test]
    fn entries_of_3_11() {
        let bytes = [
            0x80 | 12 << 3 | 1, // two units, line + 2, two columns
            0x80,
            0x80,
            0x80 | 15 << 3, // no line
            0x80 | 13 << 3, // line − 40, which takes two groups
            0x51,
            1,
            0x80 | 14 << 3, // line + 41, and three numbers
            0x52,
            1,
            1,
            0x41,
            1,
            1,
            0x80 | 3 << 3, // same line, one more byte
            0x80,
        ];
        let table = table(false, &bytes);
        let lines: Vec<_> = (-1..7).map(|at| table.line_of(at)).collect();
        let below_one = None;
        let expected = [Some(10), Some(12), Some(12), None, below_one, Some(13), Some(13), None];
        assert_eq!(lines, expected);
    }

    proptest! {
        #[test]
        fn no_table_does_harm(bytes: Vec<u8>, is_3_10: bool, at: i32) {
            table(is_3_10, &bytes).line_of(at);
        }
    }
}
