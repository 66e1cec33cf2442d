//! What the lines of one connection have in common, kept as text: a kept-alive connection tells the same with each request.

use std::time::Instant;

use crate::observe::entry::Entry;

/// The texts of connections that had a line of late, for one worker. A connection that waits owns nothing for it.
#[derive(Debug)]
pub(super) struct Recent(Box<[Place]>);

/// The connection of a text: its number, which comes again after 2³² others, and when it was opened.
type Whose = (u32, Instant);

#[derive(Debug, Default)]
struct Place {
    of: Option<Whose>,
    text: Vec<u8>,
}

impl Recent {
    pub(super) fn new() -> Self {
        Self((0..PLACES).map(|_| Place::default()).collect())
    }

    /// The text of the connection of `entry`: as it is known, or as `write` writes it.
    pub(super) fn text(&mut self, entry: &Entry<'_>, write: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        let whose = (entry.known.number, entry.known.opened);
        let Some(place) = self.0.get_mut(whose.0 as usize % PLACES) else { return &[] };
        // A request that has a client of its own tells of another than the connection does.
        let tells_the_same = entry.exchange.client.is_none();
        if !tells_the_same || place.of != Some(whose) {
            place.text.clear();
            place.text.shrink_to(MOST_KEPT);
            write(&mut place.text);
            place.of = tells_the_same.then_some(whose);
        }
        &place.text
    }
}

/// So many connections that take turns find their texts again.
const PLACES: usize = 256;
/// A text of common length; one with a long name in it keeps its room no longer than its place.
const MOST_KEPT: usize = 1024;
