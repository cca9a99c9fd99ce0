//! Numbers that a few wild ones do not move. Values are finite.

/// `None` of nothing. Reorders the values.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    match below.iter().copied().max_by(f64::total_cmp) {
        Some(lower) if values.len().is_multiple_of(2) => Some(f64::midpoint(lower, upper)),
        _ => Some(upper),
    }
}

/// The smallest value that `share` of all values do not exceed (nearest rank). Reorders the values.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let rank = (share * values.len() as f64).ceil() as usize;
    Some(*values.select_nth_unstable_by(rank.saturating_sub(1).min(last), f64::total_cmp).1)
}

/// The middle of the values' distances from `around`: the spread, as the median is the middle.
pub(crate) fn deviation(values: &[f64], around: f64) -> f64 {
    let mut distances: Vec<f64> = values.iter().map(|v| (v - around).abs()).collect();
    median(&mut distances).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_cases() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0]), Some(3.0));
        assert_eq!(median(&mut [9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [9.0, 1.0, 2.0, 3.0]), Some(2.5));
        let mut ten: Vec<f64> = (1..=10).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut ten, 0.9), Some(9.0));
        assert_eq!(quantile(&mut ten, 0.0), Some(1.0));
        assert_eq!(quantile(&mut ten, 1.0), Some(10.0));
        assert_eq!(quantile(&mut [], 0.5), None);
        assert_eq!(deviation(&[1.0, 1.0, 2.0, 9.0, 50.0], 2.0), 1.0);
    }

    proptest! {
        #[test]
        fn half_of_the_values_are_on_each_side(mut values in prop::collection::vec(-1e12..1e12f64, 1..99)) {
            let m = median(&mut values).unwrap();
            prop_assert!(values.iter().filter(|v| **v < m).count() * 2 <= values.len());
            prop_assert!(values.iter().filter(|v| **v > m).count() * 2 <= values.len());
            let q = quantile(&mut values, 0.9).unwrap();
            prop_assert!(values.iter().filter(|v| **v <= q).count() * 10 >= values.len() * 9);
        }

        /// Less than half of the values can be anything without moving the spread far.
        #[test]
        fn wild_values_do_not_make_the_spread_wild(
            tame in prop::collection::vec(-1.0..1.0f64, 20..40), wild in prop::collection::vec(-1e9..1e9f64, 0..19),
        ) {
            let mut all: Vec<f64> = tame.into_iter().chain(wild).collect();
            let m = median(&mut all).unwrap();
            prop_assert!(m.abs() <= 1.0 && deviation(&all, m) <= 2.0);
        }
    }
}
