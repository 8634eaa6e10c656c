//! Bytes per iteration.

/// Marks that pairs are taken over. More are thinned to evenly spaced ones, both ends kept, since the number of
/// pairs grows with the square.
pub(super) const MOST_MARKS: usize = 48;

/// The more cautious of two robust slopes; 0 where they disagree about the direction.
///
/// Either alone has a blind side. The median iteration shrugs off bursts, up to every second iteration, but takes a
/// sawtooth's teeth for growth. Theil–Sen sees through the sawtooth, but one burst in the middle
/// lifts most of its pairs. Steady growth of n bytes gives n exactly in both. So the figure errs to the
/// low side: growth in steps, in fewer than half of the iterations, has slope 0 and is in
/// `growth_bytes` alone. Growing and shrinking are treated alike.
pub(super) fn cautious(median_iteration: f64, theil_sen: f64) -> f64 {
    if median_iteration > 0.0 && theil_sen > 0.0 {
        median_iteration.min(theil_sen)
    } else if median_iteration < 0.0 && theil_sen < 0.0 {
        median_iteration.max(theil_sen)
    } else {
        0.0
    }
}

/// The median of bytes per iteration. `rates` are those of the iterations that changed, each with how many
/// iterations it stands for; `unchanged` iterations had 0.
pub(super) fn median_iteration(mut rates: Vec<(f64, u32)>, unchanged: u32) -> f64 {
    rates.push((0.0, unchanged));
    rates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let total: u64 = rates.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let nth = |n: u64| {
        let mut passed = 0;
        let found = rates.iter().find(|(_, weight)| {
            passed += u64::from(*weight);
            passed > n
        });
        found.map_or(0.0, |(rate, _)| *rate)
    };
    f64::midpoint(nth(total.saturating_sub(1) / 2), nth(total / 2))
}

/// The median of the slopes between all pairs of `(iteration, live bytes)`. 0 for fewer than two points.
pub(super) fn theil_sen(marks: &[(f64, f64)]) -> f64 {
    let mut slopes = Vec::with_capacity(marks.len() * marks.len().saturating_sub(1) / 2);
    for (at, (x, y)) in marks.iter().enumerate() {
        let later = &marks[at + 1..];
        slopes.extend(later.iter().map(|(later_x, later_y)| (later_y - y) / (later_x - x)));
    }
    if slopes.is_empty() {
        return 0.0;
    }
    let (middle, even) = (slopes.len() / 2, slopes.len().is_multiple_of(2));
    let (below, upper, _) = slopes.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| even).unwrap_or(upper);
    f64::midpoint(lower, upper)
}
