//! Which CPython it is.

use std::fmt;

/// The oldest and the newest minor version of CPython 3 whose frames are known.
const SUPPORTED: std::ops::RangeInclusive<u8> = 10..=13;

/// A version of CPython, as far as the layout of its structures goes by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 3.
    pub major: u8,
    /// What decides on the layout.
    pub minor: u8,
    /// The maintenance release.
    pub micro: u8,
}

impl Version {
    /// From `Py_Version` or `sys.hexversion`: a byte each from the top, then the release level and serial.
    pub fn from_hex(hex: u32) -> Self {
        let [major, minor, micro, _] = hex.to_be_bytes();
        Self { major, minor, micro }
    }

    /// From what `Py_GetVersion` begins with, such as `3.10.13` or `3.9.0rc1+`.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let mut number = || {
            let part = parts.next()?;
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse().ok()
        };
        Some(Self { major: number()?, minor: number()?, micro: number()? })
    }

    /// Whether the layout of this version's structures is known.
    pub fn is_supported(self) -> bool {
        self.major == 3 && SUPPORTED.contains(&self.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn a_version_is_read_in_both_ways() {
        let version = Version { major: 3, minor: 13, micro: 0 };
        assert_eq!(Version::from_hex(0x030d_00f0), version);
        assert_eq!(Version::from_text("3.13.0rc2+"), Some(version));
        assert_eq!(Version::from_text("3.13"), None);
        assert_eq!(Version::from_text("%.80s (%.80s) %.80s"), None);
        assert_eq!(version.to_string(), "3.13.0");
    }

    #[test]
    fn what_is_older_or_newer_is_not_supported() {
        let minor = |minor| Version { major: 3, minor, micro: 1 }.is_supported();
        assert!(!minor(9) && minor(10) && minor(13) && !minor(14));
        assert!(!Version { major: 2, minor: 12, micro: 0 }.is_supported());
    }
}
