//! What a rule says in an endpoint's place, in the coding that the client likes best.

use tokio::task::yield_now;

use super::answer::{Content, Local};
use super::compress::{SeatsOf, choose, is_left_alone_for};
use super::fields::Asked;
use crate::connection::record::{Fill, RequestRecord};
use crate::policy::compress::Coding;
use crate::policy::rules::Respond;

/// The answer of a rule to this request.
pub(super) async fn said<'a>(
    respond: &'a Respond,
    asked: &Asked<'_>,
    seats: SeatsOf<'_>,
    note: &mut RequestRecord<'_>,
) -> Local<'a> {
    let local = Local::respond(respond, &asked.request());
    let is_worth_it = |min| {
        !matches!(respond.status, 204 | 205 | 206 | 304)
            && respond.body.len() as u64 >= min
            && !is_left_alone_for(asked)
    };
    let compress = asked
        .changes
        .compress()
        .filter(|compress| is_worth_it(compress.min) && compress.takes(respond.content_type.as_bytes()));
    let Some(compress) = compress else { return local };
    let local = Local { varies: true, ..local };
    let Some(coding) = choose(compress, &asked.request()) else { return local };
    if local.status == 304 {
        return Local { is_weak: true, ..local };
    }
    match coded(respond, coding, seats, note).await {
        Some(body) => {
            let body = Content::Bytes(body);
            Local { body, coding: Some(coding), is_weak: true, ..local }
        }
        None => local,
    }
}

/// The body in a coding, if it is smaller so. Who comes while it is made gets it as it is, and so does who comes when too many others
/// are coded.
async fn coded<'a>(
    respond: &'a Respond,
    coding: Coding,
    seats: SeatsOf<'_>,
    note: &mut RequestRecord<'_>,
) -> Option<&'a [u8]> {
    if let Some(made) = respond.coded.get(coding) {
        return made;
    }
    let making = respond.coded.make(coding)?;
    let Some(mut encoder) = seats.encoder(coding) else {
        note.left_uncoded();
        return None;
    };
    for piece in respond.body.chunks(PIECE) {
        encoder.push(piece).ok()?;
        // Others of the worker have their turn.
        yield_now().await;
    }
    let made = encoder.finish().ok()?;
    let is_smaller = made.len() < respond.body.len();
    making.done(is_smaller.then_some(made));
    respond.coded.get(coding)?
}

/// A millisecond's work at most.
const PIECE: usize = 64 * 1024;
