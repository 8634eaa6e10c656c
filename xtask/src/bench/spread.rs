//! Median and range of repeated measurements.

/// What the rounds of one variant gave.
#[derive(Clone, Debug, Default)]
pub(super) struct Spread(Vec<f64>);

impl Spread {
    /// Adds a round's figure.
    pub(super) fn push(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle one; NaN when there was no round.
    pub(super) fn median(&self) -> f64 {
        let (low, high) = (self.at((self.0.len().max(1) - 1) / 2), self.at(self.0.len() / 2));
        f64::midpoint(low, high)
    }

    /// The smallest.
    pub(super) fn min(&self) -> f64 {
        self.at(0)
    }

    /// The largest.
    pub(super) fn max(&self) -> f64 {
        self.at(self.0.len().max(1) - 1)
    }

    fn at(&self, index: usize) -> f64 {
        self.0.get(index).copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(figures: &[f64]) -> (f64, f64, f64) {
        let mut spread = Spread::default();
        for &figure in figures {
            spread.push(figure);
        }
        (spread.min(), spread.median(), spread.max())
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_middle_two() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), (1.0, 2.0, 3.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), (1.0, 2.5, 4.0));
        assert!(spread(&[]).1.is_nan());
    }
}
