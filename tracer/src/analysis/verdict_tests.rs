//! Series with a known answer.

use proptest::prelude::*;
use tracer_common::RowCounts;

use super::{Trend, Verdict, trend};
use crate::ledger::{Amount, Iteration, MarkTrigger, mappings::MappingTotals};

fn iterations(count: usize) -> Vec<Iteration> {
    (0..count)
        .map(|at| Iteration {
            index: at as u32 + 3, // two of warm-up
            merged: 1,
            warmup: false,
            trigger: MarkTrigger::Interval,
            label: None,
            partial: false,
            duration_ns: 0,
            counts: RowCounts::default(),
            dropped: Amount::ZERO,
            live: Amount::ZERO,
            peak_bytes: 0,
            rss_bytes: 0,
            mappings: MappingTotals::default(),
        })
        .collect()
}

fn of(nets: &[i64], baseline: i64) -> Trend {
    let sparse: Vec<_> = nets.iter().copied().enumerate().filter(|(_, net)| *net != 0).collect();
    trend(&iterations(nets.len()), &sparse, baseline)
}

#[test]
fn shapes_have_their_verdicts() {
    use Verdict::{Burst, Growing, Plateau, Shrinking, Stable, Undecided};
    for (verdict, nets) in [
        (Undecided, &[][..]),
        (Undecided, &[100, 100]),
        (Growing, &[100, 100, 100]),
        (Growing, &[100, 100, -20, 100, 100]),
        (Growing, &[1, 1, 1, 1, 1, 1, 1, 1]),
        (Plateau, &[50, 30, 20, 0, 0, 0]),
        (Plateau, &[50, 40, 30, 20, 10, 0, 1, 0, 0]),
        (Plateau, &[100, 100, 100, 100, 100, 100, 10, 10, -30, -30]),
        (Burst, &[0, 0, 4096, 0, 0]),
        (Burst, &[4096, 0, 0]),
        (Burst, &[0, 0, 0, 4096]),
        (Shrinking, &[-100, -100, 0]),
        (Stable, &[0, 0, 0]),
        (Stable, &[500, -500, 500, -500]),
        (Stable, &[1000, -999, 0, 0]),
        (Undecided, &[100, 0, 0, 100, 0, 0, 100, 0, 0, 100]),
    ] {
        assert_eq!(of(nets, 0).verdict, verdict, "{nets:?}");
    }
    assert_eq!(of(&[10, -30, 0, 0], 100_000).verdict, Stable, "noise on a high level");
    assert_eq!(of(&[1, 1, 1, 1], 100_000_000).verdict, Growing, "a slow leak on a high level");
}

#[test]
fn the_slope_is_exact_and_robust() {
    for (nets, slope) in [
        (&[1_048_576, 1_048_576, 1_048_576, 1_048_576][..], 1_048_576.0),
        (&[9_000_000, 64, 64, 64, 64, 64, 64, 64], 64.0),
        (&[64, 64, 64, 64, 9_000_000, 64, 64, 64, 64, 64], 64.0),
        (&[0, 0, 4096, 0, 0, 0, 0], 0.0),
        (&[-8, -8, -8], -8.0),
        (&[7], 7.0),
        (&[90, -80, 90, -80, 90, -80, 90, -80, 90, -80], 5.0),
        (&[], 0.0),
    ] {
        let found = of(nets, 12_345).bytes_per_iteration;
        assert!((found - slope).abs() < 1e-9, "{nets:?}: {found}");
    }
    assert!((of(&vec![24; 10_000], 0).bytes_per_iteration - 24.0).abs() < 1e-9);
}

#[test]
fn merged_iterations_count_as_many_as_they_are() {
    let mut merged = iterations(5);
    for (at, iteration) in merged.iter_mut().enumerate() {
        (iteration.index, iteration.merged) = (1 + 2 * at as u32, 2);
    }
    let nets: Vec<_> = (0..5).map(|at| (at, 200)).collect();
    let found = trend(&merged, &nets, 0);
    assert_eq!(found.verdict, Verdict::Growing);
    assert!((found.bytes_per_iteration - 100.0).abs() < 1e-9);
    assert_eq!(trend(&merged[..2], &nets[..2], 0).verdict, Verdict::Growing, "4 iterations");
}

proptest! {
    #[test]
    fn mirrored_series_have_mirrored_slopes(nets in prop::collection::vec(-5_000..5_000_i64, 0..80)) {
        let mirrored: Vec<i64> = nets.iter().map(|net| -net).collect();
        let (one, other) = (of(&nets, 0), of(&mirrored, 0));
        prop_assert!((one.bytes_per_iteration + other.bytes_per_iteration).abs() < 1e-6);
        if one.verdict == Verdict::Growing {
            prop_assert!(nets.iter().sum::<i64>() > 0);
        }
    }
}
