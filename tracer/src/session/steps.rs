//! How long each step to "attached" took, for `-v`.

use std::time::{Duration, Instant};

/// A stop watch with named laps.
#[derive(Debug)]
pub(super) struct Steps {
    start: Instant,
    lap: Instant,
}

impl Steps {
    /// Starts the watch.
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Self { start: now, lap: now }
    }

    /// Says how long the step that ends here took.
    pub(super) fn done(&mut self, step: &str) {
        let now = Instant::now();
        tracing::debug!("{step}: {:.1} ms", milliseconds(now - self.lap));
        self.lap = now;
    }

    /// Time since the start.
    pub(super) fn total(&self) -> Duration {
        self.start.elapsed()
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
