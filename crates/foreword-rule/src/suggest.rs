//! "Did you mean": the nearest of the words that would have been right.

/// The candidate that `word` was probably meant to be, if one is near enough: at most a third of its letters are wrong,
/// missing, extra or swapped with their neighbour. Case is not counted.
///
/// ```
/// let keys = ["endpoints", "send_header", "timeout"];
/// assert_eq!(foreword_rule::suggest("endpoint", keys), Some("endpoints"));
/// assert_eq!(foreword_rule::suggest("colour", keys), None);
/// ```
pub fn suggest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word: Vec<char> = word.chars().take(MAX_WORD).flat_map(char::to_lowercase).collect();
    candidates
        .into_iter()
        .map(|candidate| {
            let letters: Vec<char> = candidate.chars().take(MAX_WORD).flat_map(char::to_lowercase).collect();
            (distance(&word, &letters), word.len().max(letters.len()), candidate)
        })
        .filter(|&(distance, len, _)| distance * 3 <= len)
        .min_by_key(|&(distance, ..)| distance)
        .map(|(.., candidate)| candidate)
}

/// How many letters must be changed, added, left out or swapped with the next (optimal string alignment).
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut from_before = None;
    for (row, &from_letter) in from.iter().enumerate() {
        let mut this = vec![row + 1];
        let mut to_before = None;
        for (column, &to_letter) in to.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX - 1);
            let changed = at(&last, column) + usize::from(from_letter != to_letter);
            let mut best = changed.min(at(&last, column + 1) + 1).min(at(&this, column) + 1);
            if column > 0 && from_before == Some(to_letter) && to_before == Some(from_letter) {
                best = best.min(at(&before, column - 1) + 1);
            }
            this.push(best);
            to_before = Some(to_letter);
        }
        before = std::mem::replace(&mut last, this);
        from_before = Some(from_letter);
    }
    last.last().copied().unwrap_or(0)
}

/// Longer words are compared by their beginning, so that a huge wrong key costs no more than a small one.
const MAX_WORD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word() {
        let words = ["api", "static", "clusters", "header"];
        assert_eq!(suggest("apo", words), Some("api"));
        assert_eq!(suggest("cluster", words), Some("clusters"));
        assert_eq!(suggest("haeder", words), Some("header"), "a swap counts once");
        assert_eq!(suggest("HEADER", words), Some("header"));
    }

    #[test]
    fn a_word_that_is_far_from_all_finds_none() {
        assert_eq!(suggest("zebra", ["api", "static"]), None);
        assert_eq!(suggest("x", ["y"]), None);
        assert_eq!(suggest("", ["y"]), None);
    }
}
