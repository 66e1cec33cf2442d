//! Who was heard of longest ago: a list in which each knows its place, so that moving up is one step.

/// Items in the order in which they were last touched.
#[derive(Debug)]
pub(super) struct Idlest<T> {
    links: Vec<Link<T>>,
    /// Places whose items went.
    free: Vec<usize>,
    first: Option<usize>,
    last: Option<usize>,
}

impl<T> Default for Idlest<T> {
    fn default() -> Self {
        Self { links: Vec::new(), free: Vec::new(), first: None, last: None }
    }
}

#[derive(Debug)]
struct Link<T> {
    item: Option<T>,
    before: Option<usize>,
    after: Option<usize>,
}

impl<T> Idlest<T> {
    /// Puts an item at the end, and says where it is known from now on.
    pub(super) fn push(&mut self, item: T) -> usize {
        let link = Link { item: Some(item), before: None, after: None };
        let place = match self.free.pop() {
            Some(place) => {
                if let Some(old) = self.links.get_mut(place) {
                    *old = link;
                }
                place
            }
            None => {
                self.links.push(link);
                self.links.len() - 1
            }
        };
        self.append(place);
        place
    }

    /// Moves an item to the end: it was heard of just now.
    pub(super) fn touch(&mut self, place: usize) {
        if self.last != Some(place) && self.links.get(place).is_some_and(|link| link.item.is_some()) {
            self.unlink(place);
            self.append(place);
        }
    }

    /// Takes an item out.
    pub(super) fn remove(&mut self, place: usize) -> Option<T> {
        let item = self.links.get_mut(place)?.item.take()?;
        self.unlink(place);
        self.free.push(place);
        Some(item)
    }

    /// The one that was heard of longest ago.
    pub(super) fn first(&self) -> Option<&T> {
        self.links.get(self.first?)?.item.as_ref()
    }

    fn append(&mut self, place: usize) {
        let before = self.last.replace(place);
        match before.and_then(|before| self.links.get_mut(before)) {
            Some(before) => before.after = Some(place),
            None => self.first = Some(place),
        }
        if let Some(link) = self.links.get_mut(place) {
            (link.before, link.after) = (before, None);
        }
    }

    fn unlink(&mut self, place: usize) {
        let Some((before, after)) = self.links.get(place).map(|link| (link.before, link.after)) else {
            return;
        };
        match before.and_then(|before| self.links.get_mut(before)) {
            Some(before) => before.after = after,
            None => self.first = after,
        }
        match after.and_then(|after| self.links.get_mut(after)) {
            Some(after) => after.before = before,
            None => self.last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_whoever_was_touched_longest_ago() {
        let mut idlest = Idlest::default();
        let places: Vec<usize> = ["a", "b", "c"].into_iter().map(|item| idlest.push(item)).collect();
        assert_eq!(idlest.first(), Some(&"a"));
        idlest.touch(places[0]);
        assert_eq!(idlest.first(), Some(&"b"));
        assert_eq!(idlest.remove(places[1]), Some("b"));
        assert_eq!(idlest.remove(places[1]), None, "once");
        idlest.touch(places[1]);
        assert_eq!(idlest.first(), Some(&"c"));
        assert_eq!(idlest.push("d"), places[1], "a place is used again");
        for expected in ["c", "a", "d"] {
            let first = *idlest.first().unwrap();
            assert_eq!(first, expected);
            let place = (0..3).find(|&place| idlest.links[place].item == Some(first)).unwrap();
            idlest.remove(place);
        }
        assert_eq!(idlest.first(), None);
        assert_eq!((idlest.first, idlest.last), (None, None));
    }

    #[test]
    fn it_keeps_the_order_that_a_plain_list_would() {
        let (mut idlest, mut plain, mut places) = (Idlest::default(), Vec::new(), Vec::new());
        let mut random = fastrand::Rng::with_seed(7);
        for step in 0..2_000_u32 {
            match random.u8(..3) {
                0 => {
                    places.push((step, idlest.push(step)));
                    plain.push(step);
                }
                choice if !places.is_empty() => {
                    let which = random.usize(..places.len());
                    let (item, place) = places[which];
                    plain.retain(|&other| other != item);
                    if choice == 1 {
                        idlest.touch(place);
                        plain.push(item);
                    } else {
                        assert_eq!(idlest.remove(place), Some(item));
                        places.swap_remove(which);
                    }
                }
                _ => {}
            }
            assert_eq!(idlest.first(), plain.first());
        }
    }
}
