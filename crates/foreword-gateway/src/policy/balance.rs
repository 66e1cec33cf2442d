//! Which endpoint is next: plain functions over what a worker has counted.

/// Takes the next place in turn among `count`, leaving out `tried`; `None` if there is no other.
pub(crate) fn in_turn(turn: usize, count: usize, tried: impl Fn(usize) -> bool) -> Option<usize> {
    around(turn, count).find(|place| !tried(*place))
}

/// Takes the place with the fewest connections, leaving out `tried`; equals are taken in turn.
pub(crate) fn least(
    turn: usize,
    count: usize,
    connections: impl Fn(usize) -> u32,
    tried: impl Fn(usize) -> bool,
) -> Option<usize> {
    // `min_by_key` keeps the first of equals, and the walk begins elsewhere each time.
    around(turn, count).filter(|place| !tried(*place)).min_by_key(|place| connections(*place))
}

/// Every place once, beginning with the `turn`th.
fn around(turn: usize, count: usize) -> impl Iterator<Item = usize> {
    let start = turn.checked_rem(count).unwrap_or(0);
    (start..count).chain(0..start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_turn_and_then_the_first_again() {
        let chosen: Vec<_> = (0..5).filter_map(|turn| in_turn(turn, 3, |_| false)).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn the_next_takes_the_turn_of_one_that_was_tried() {
        assert_eq!(in_turn(1, 3, |place| place == 1), Some(2));
        assert_eq!(in_turn(2, 3, |place| place == 2), Some(0));
    }

    #[test]
    fn nobody_is_chosen_where_nobody_is_left() {
        assert_eq!(in_turn(7, 0, |_| false), None);
        assert_eq!(in_turn(7, 1, |_| true), None);
        assert_eq!(least(7, 0, |_| 0, |_| false), None);
    }

    #[test]
    fn the_fewest_connections_win_wherever_the_walk_begins() {
        let connections = [3, 1, 2];
        for turn in 0..6 {
            assert_eq!(least(turn, 3, |place| connections[place], |_| false), Some(1));
        }
        assert_eq!(least(0, 3, |place| connections[place], |place| place == 1), Some(2));
    }

    #[test]
    fn equals_are_taken_in_turn() {
        let chosen: Vec<_> = (0..4).filter_map(|turn| least(turn, 2, |_| 0, |_| false)).collect();
        assert_eq!(chosen, [0, 1, 0, 1]);
    }

    #[test]
    fn the_turn_may_wrap() {
        assert_eq!(in_turn(usize::MAX, 2, |_| false), Some(1));
    }
}
