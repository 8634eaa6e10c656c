//! How often the target's mappings are read, where that is for code that none of them has.

use std::time::{Duration, Instant};

/// Reading the mappings costs the target a lock; code that nothing explains must not make us do it for every
/// stack.
const SHORTEST: Duration = Duration::from_millis(20);

/// As long as it brings nothing new the pause doubles, up to about this.
const LONGEST: Duration = Duration::from_secs(1);

/// When to read them again.
#[derive(Debug)]
pub(super) struct Pace {
    last: Instant,
    pause: Duration,
    wanted: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { last: Instant::now(), pause: SHORTEST, wanted: false }
    }
}

impl Pace {
    /// A stack met code that is in no mapping.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether it is wanted, and the pause over.
    pub(super) fn is_due(&self) -> bool {
        self.wanted && self.since_last() >= self.pause
    }

    /// Since they were read.
    pub(super) fn since_last(&self) -> Duration {
        self.last.elapsed()
    }

    /// They were read, for whatever reason.
    pub(super) fn done(&mut self, anything_new: bool) {
        self.pause = match (anything_new, self.wanted) {
            (true, _) => SHORTEST,
            (false, true) => (self.pause * 2).min(LONGEST),
            (false, false) => self.pause,
        };
        self.wanted = false;
        self.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_brings_nothing_is_done_less_and_less() {
        let mut pace = Pace::default();
        assert!(!pace.is_due());
        for _ in 0..10 {
            pace.want();
            pace.done(false);
        }
        assert_eq!(pace.pause, LONGEST);
        pace.want();
        assert!(!pace.is_due(), "it has to wait");
        pace.last = Instant::now().checked_sub(LONGEST).expect("the machine is up that long");
        assert!(pace.is_due(), "and is not forgotten");
        pace.done(true);
        assert_eq!((pace.pause, pace.is_due()), (SHORTEST, false));
    }
}
