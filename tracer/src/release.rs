//! The kernel's release: which of its known limits and faults apply.

use std::fmt;

/// `uname -r`, and the version that it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRelease {
    text: String,
    version: (u32, u32, u32),
}

impl KernelRelease {
    /// The kernel that we run on.
    pub fn running() -> Self {
        Self::parse(&rustix::system::uname().release().to_string_lossy())
    }

    /// Reads `6.12.13-amd64` as 6.12.13. What has no number there counts as 0.
    pub fn parse(text: &str) -> Self {
        let mut numbers =
            text.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        let version = (next(), next(), next());
        Self { text: text.to_owned(), version }
    }

    /// Whether it has everything that is used: attach cookies, ring buffers, atomics with results (5.15). A
    /// distribution's backport may do with less, but none is known; what has no version at all may try.
    pub fn is_too_old(&self) -> bool {
        self.version.0 > 0 && self.version < (5, 15, 0)
    }

    /// Whether it kills a return-probed process whose seccomp filter doesn't know system call 335.
    ///
    /// From 6.11 on return probes come back through a system call of their own. Filters that were written
    /// before don't allow it, until seccomp itself let it pass: in 6.14, 6.13.3 and 6.12.14.
    pub fn seccomp_kills_return_probes(&self) -> bool {
        match self.version {
            (6, 11, _) => true,
            (6, 12, patch) => patch < 14,
            (6, 13, patch) => patch < 3,
            _ => false,
        }
    }

    /// Whether return probes honour a user shadow stack. User shadow stacks came in 6.6, and return probes
    /// learnt of them in 6.11; between, a probed function's return ends the process.
    pub fn return_probes_know_shadow_stacks(&self) -> bool {
        self.version >= (6, 11, 0)
    }
}

impl fmt::Display for KernelRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::KernelRelease;

    #[test]
    fn reads_what_distributions_write() {
        for (text, version) in [
            ("6.12.13-amd64", (6, 12, 13)),
            ("6.11.0-19-generic", (6, 11, 0)),
            ("6.13-rc1", (6, 13, 0)),
            ("6.13", (6, 13, 0)),
            ("5.15.0+", (5, 15, 0)),
            ("custom", (0, 0, 0)),
        ] {
            assert_eq!(KernelRelease::parse(text).version, version, "{text}");
        }
    }

    #[test]
    fn the_seccomp_fault_has_a_first_and_a_last_version() {
        for (text, kills) in [
            ("6.10.14", false),
            ("6.11.0-19-generic", true),
            ("6.11.11", true),
            ("6.12", true),
            ("6.12.13-amd64", true),
            ("6.12.14", false),
            ("6.13.0", true),
            ("6.13.2", true),
            ("6.13.3", false),
            ("6.14-rc1", false),
            ("6.18.44", false),
            ("5.15.0", false),
        ] {
            assert_eq!(KernelRelease::parse(text).seccomp_kills_return_probes(), kills, "{text}");
        }
    }

    #[test]
    fn shadow_stacks_and_age_have_a_first_version() {
        assert!(!KernelRelease::parse("6.10.9").return_probes_know_shadow_stacks());
        assert!(KernelRelease::parse("6.11.0").return_probes_know_shadow_stacks());
        assert!(KernelRelease::parse("5.14.21-default").is_too_old());
        assert!(!KernelRelease::parse("5.15.0").is_too_old());
        assert!(!KernelRelease::parse("custom").is_too_old());
    }
}
