//! Numbers in words. Bytes are MiB to one decimal; under 0.1 MiB, KiB to one decimal; under 1 KiB, `B`.

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

/// A size, as in `8.5 MiB`; below nothing with a minus.
pub fn size(bytes: i64) -> String {
    let sign = if bytes < 0 { "-" } else { "" };
    format!("{sign}{}", magnitude(bytes.unsigned_abs()))
}

/// The same with a plus above nothing.
pub fn signed_size(bytes: i64) -> String {
    let sign = if bytes > 0 { "+" } else { "" };
    format!("{sign}{}", size(bytes))
}

/// MiB with six decimals and no unit.
pub fn mib(bytes: u64) -> String {
    format!("{:.6}", bytes as f64 / MIB)
}

/// `1 stack`, `2 stacks`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn magnitude(bytes: u64) -> String {
    let exact = bytes as f64;
    if exact >= 0.1 * MIB {
        format!("{:.1} MiB", exact / MIB)
    } else if exact >= KIB {
        format!("{:.1} KiB", exact / KIB)
    } else {
        format!("{bytes} B")
    }
}

#[cfg(test)]
mod tests {
    use super::{mib, signed_size, size};

    #[test]
    fn units_change_where_the_rule_says() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (104_857, "102.4 KiB"),
            (104_858, "0.1 MiB"),
            (8_912_896, "8.5 MiB"),
            (5 << 40, "5242880.0 MiB"),
            (-1, "-1 B"),
            (-2048, "-2.0 KiB"),
            (i64::MAX, "8796093022208.0 MiB"),
            (i64::MIN, "-8796093022208.0 MiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(signed_size(1_258_291), "+1.2 MiB");
        assert_eq!(signed_size(0), "0 B");
        assert_eq!(signed_size(-3), "-3 B");
        assert_eq!(mib(47_431_876), "45.234562");
    }
}
