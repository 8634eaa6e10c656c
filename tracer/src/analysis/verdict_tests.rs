//! Series with a known answer.

use proptest::prelude::*;

use super::{
    Verdict,
    trend_samples::{iterations, of, of_iterations},
};

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
        // Few iterations.
        (Undecided, &[100, 50, 0]),
        (Undecided, &[100, 100, 0]),
        (Undecided, &[100, 0, 100, 0]),
        (Growing, &[100, 400, 300]),
        // Steps.
        (Growing, &[100, 0, 0, 100, 0, 0, 100, 0, 0, 100]),
        (Growing, &[0, 0, 100, 0, 0, 100, 0, 0, 100, 0, 0, 100]),
        (Growing, &[0, 100, 0, 0, 100, 0, 0, 100, 0, 0, 100, 0]),
        (Plateau, &[100, 0, 0, 100, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0]),
        // One odd iteration.
        (Growing, &[100, 100, -400, 100, 100, 100, 100, 100, 100, 100, 100, 100]),
        (Growing, &[100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, -150]),
        (Growing, &[100, 100, 100, 100, 9_000, 100, 100, 100, 100, 100, 100, 100]),
        (Growing, &[9_000, 100, 100, 100, 100, 100, 100, 100, 100]),
        (Growing, &[100, 100, 100, 100, 100, 5_000, -4_900, 100, 100, 100, 100, 100]),
        (Undecided, &[100, 100, 100, 100, -150]),
        (Undecided, &[50, 30, 20, 0, 0, 0, 0, 0, 40]),
        // Growth that begins, ends or dies down.
        (Growing, &[0, 0, 0, 0, 0, 0, 100, 100, 100, 100, 100, 100]),
        (Growing, &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]),
        (Plateau, &[100, 100, 100, 100, 100, 100, 100, 100, 0, 0, 0, 0]),
        (Growing, &[100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 0, 0]),
        (Plateau, &[4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1]),
        // Growth, then release; teeth of a saw.
        (Stable, &[100, 100, 100, 100, 100, 100, -100, -100, -100, -100, -100, -100]),
        (Plateau, &[100, 100, 100, 100, 100, 100, -50, -50, -50, -50, -50, -50]),
        (Stable, &[100, 100, 100, -300, 100, 100, 100, -300, 100, 100, 100, -300]),
        (Stable, &[100, 100, 100, -300, 100, 100, 100, -300, 100, 100, 100, -300, 100, 100]),
        (Growing, &[100, 100, 100, -200, 100, 100, 100, -200, 100, 100, 100, -200, 100, 100]),
    ] {
        assert_eq!(of(nets, 0).verdict, verdict, "{nets:?}");
    }
    let odd = [16, 16, 16, 16, -48, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16];
    assert_eq!(of(&odd, 100_000).verdict, Growing, "a slow leak with one odd iteration");
    let noise = [300, -200, 400, -250, 200, 100, -150, 300, -100, 200, -100, 250];
    assert_eq!(of(&noise, 100_000).verdict, Stable, "a rise below the noise floor");
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
        (&[0, 0, 99, 0, 0, 99, 0, 0, 99, 0, 0, 99], 33.0), // it grows, so it is not 0
        (&[], 0.0),
    ] {
        let found = of(nets, 12_345).bytes_per_iteration;
        assert!((found - slope).abs() < 1e-9, "{nets:?}: {found}");
    }
    assert!((of(&vec![24; 10_000], 0).bytes_per_iteration - 24.0).abs() < 1e-9);
}

#[test]
fn growth_in_one_iteration_is_a_burst_wherever_it_is() {
    for count in 3..60 {
        for at in 0..count {
            let mut nets = vec![0; count];
            nets[at] = 5_000;
            assert_eq!(of(&nets, 0).verdict, Verdict::Burst, "{at} of {count}");
        }
    }
}

#[test]
fn growth_in_two_iterations_is_not_a_leak_yet() {
    for count in 3..60 {
        for (one, other) in (0..count).flat_map(|one| (0..one).map(move |other| (one, other))) {
            let mut nets = vec![0; count];
            (nets[one], nets[other]) = (5_000, 5_000);
            let verdict = of(&nets, 0).verdict;
            assert_ne!(verdict, Verdict::Growing, "{one} and {other} of {count}");
        }
    }
}

#[test]
fn merged_iterations_count_as_many_as_they_are() {
    let mut merged = iterations(1, 5);
    for (at, iteration) in merged.iter_mut().enumerate() {
        (iteration.index, iteration.merged) = (1 + 2 * at as u32, 2);
    }
    let found = of_iterations(&merged, &[200; 5], 0);
    assert_eq!(found.verdict, Verdict::Growing);
    assert!((found.bytes_per_iteration - 100.0).abs() < 1e-9);
}

proptest! {
    #[test]
    fn mirrored_series_have_mirrored_slopes(nets in prop::collection::vec(-5_000..5_000_i64, 0..80)) {
        let mirrored: Vec<i64> = nets.iter().map(|net| -net).collect();
        let (one, other) = (of(&nets, 0), of(&mirrored, 0));
        // Growth in steps has a slope all the same, shrinking has not.
        if ![one.verdict, other.verdict].contains(&Verdict::Growing) {
            prop_assert!((one.bytes_per_iteration + other.bytes_per_iteration).abs() < 1e-6);
        }
        for (found, nets) in [(one, nets), (other, mirrored)] {
            if found.verdict == Verdict::Growing {
                prop_assert!(nets.iter().sum::<i64>() > 0);
                prop_assert!(found.bytes_per_iteration >= 0.0);
            }
        }
    }
}
