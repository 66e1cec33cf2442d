//! How much stays in the own zone, and how much goes to the others.

/// Whether this one stays: all do while at least `needed` hundredths of the zone's weight are usable, and a part of them in
/// proportion while less is. `number` is any number, evenly spread over those who ask; the same number stays, or goes, as
/// long as the part does not change.
pub(crate) fn stays_near(usable: u64, all: u64, needed: u8, number: u64) -> bool {
    if usable == 0 {
        return false;
    }
    let (have, enough) = (u128::from(usable) * 100, u128::from(all) * u128::from(needed));
    // The number as a fraction of all numbers, against that of what there is by what is enough.
    have >= enough || u128::from(number) * enough < (have << 64)
}

#[cfg(test)]
mod tests {
    use super::super::digest::mix;
    use super::*;

    fn part(usable: u64, all: u64, needed: u8) -> f64 {
        let stay = (0..10_000).filter(|number| stays_near(usable, all, needed, mix(*number))).count();
        stay as f64 / 10_000.0
    }

    #[test]
    fn all_stay_while_enough_is_usable_and_all_go_when_nothing_is() {
        assert_eq!(part(7, 10, 70), 1.0);
        assert_eq!(part(1, 1000, 0), 1.0);
        assert_eq!(part(0, 10, 0), 0.0);
        assert!(stays_near(u64::MAX, u64::MAX, 100, u64::MAX));
    }

    #[test]
    fn below_that_they_go_in_proportion() {
        for (usable, expected) in [(1, 0.1), (5, 0.5), (9, 0.9)] {
            let part = part(usable, 10, 100);
            assert!((part - expected).abs() < 0.02, "{part}, not {expected}");
        }
        assert!((part(2, 10, 40) - 0.5).abs() < 0.02);
    }
}
