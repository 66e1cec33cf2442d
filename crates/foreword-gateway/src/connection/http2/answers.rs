//! What the answers of one connection share: they use it in turn, and each says mostly what the one before said.

use std::cell::{Cell, RefCell, RefMut};
use std::io;

use foreword_http1::{Name, Response, ResponseHead};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::content::{field, malformed};

/// Shared by the answers of one connection.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// The index of the head at hand.
    index: RefCell<ResponseHead>,
    /// Fields of those before, by where they stood. To take one again allocates nothing.
    fields: RefCell<Vec<(HeaderName, HeaderValue)>>,
    heard_out: Cell<usize>,
    /// How many of those that are open have begun.
    begun: Cell<usize>,
}

impl Answers {
    /// The index, for as long as a head is looked at.
    pub(super) fn index(&self) -> RefMut<'_, ResponseHead> {
        self.index.borrow_mut()
    }

    /// The head in the words of HTTP/2. What holds for one connection of HTTP/1.1 stays behind, RFC 9113 §8.2.2.
    pub(super) fn told(&self, response: &Response<'_>) -> io::Result<http::Response<()>> {
        // Whoever opened a WebSocket by CONNECT is told of success, RFC 8441 §5.
        let is_switch = response.status() == 101;
        let status = if is_switch { 200 } else { response.status() };
        let mut answer = http::Response::new(());
        *answer.status_mut() = StatusCode::from_u16(status).map_err(malformed)?;
        let mut told = HeaderMap::try_with_capacity(response.fields().size_hint().0).map_err(malformed)?;
        let mut known = self.fields.borrow_mut();
        for field in response.fields() {
            let passes = field.known == Name::ContentLength || !field.known.is_for_one_hop();
            let is_accept = is_switch && field.is("sec-websocket-accept");
            if passes && !is_accept && !response.is_named_in_connection(field.name) {
                let (name, value) = again(&mut known, told.len(), field.name, field.value)?;
                told.try_append(name, value).map_err(malformed)?;
            }
        }
        *answer.headers_mut() = told;
        Ok(answer)
    }

    /// Takes note that one has begun.
    pub(super) fn one_begins(&self) {
        self.begun.set(self.begun.get() + 1);
    }

    /// Takes note that one of those that have begun is over.
    pub(super) fn one_is_over(&self) {
        self.begun.set(self.begun.get().saturating_sub(1));
    }

    /// How many of those that are open have begun.
    pub(super) fn begun(&self) -> usize {
        self.begun.get()
    }

    /// Forgets the answers so far: a connection on which nothing is asked keeps no room for them.
    pub(super) fn rest(&self) {
        drop((self.index.take(), self.fields.take()));
    }

    /// A seat for a client that has its answer and is still sending the request; `None` where all are taken.
    pub(super) fn hear_one_out(&self) -> Option<HeardOut<'_>> {
        let heard_out = self.heard_out.get();
        (heard_out < MOST_HEARD_OUT).then(|| {
            self.heard_out.set(heard_out + 1);
            HeardOut(self)
        })
    }
}

/// One of those that are heard out.
#[derive(Debug)]
pub(super) struct HeardOut<'c>(&'c Answers);

impl Drop for HeardOut<'_> {
    fn drop(&mut self) {
        self.0.heard_out.set(self.0.heard_out.get() - 1);
    }
}

/// The field as it stood at this place in an answer before, or anew.
fn again(
    known: &mut Vec<(HeaderName, HeaderValue)>,
    place: usize,
    name: &[u8],
    value: &[u8],
) -> io::Result<(HeaderName, HeaderValue)> {
    if let Some(before) = known.get(place)
        && before.1.as_bytes() == value
        && before.0.as_str().as_bytes().eq_ignore_ascii_case(name)
    {
        return Ok(before.clone());
    }
    let new = field(name, value)?;
    if name.len() + value.len() <= MOST_KEPT_BYTES {
        if let Some(before) = known.get_mut(place) {
            *before = new.clone();
        } else if place == known.len() && place < MOST_KEPT {
            known.push(new.clone());
        }
    }
    Ok(new)
}

/// More than most answers have; with the bound of each, some 4 KiB a connection at the worst.
const MOST_KEPT: usize = 24;
const MOST_KEPT_BYTES: usize = 96;

/// Each may hold a stream's window until it has ended. Those of so few leave half of the connection's to all others.
const MOST_HEARD_OUT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a head.
    fn told(answers: &Answers, head: &str) -> String {
        let mut index = answers.index();
        index.parse(head.as_bytes(), &ResponseHead::LIMITS).unwrap();
        let told = answers.told(&index.view(head.as_bytes())).unwrap();
        let fields =
            told.headers().iter().map(|(name, value)| format!(" {name}={}", value.to_str().unwrap()));
        format!("{}{}", told.status().as_u16(), fields.collect::<String>())
    }

    #[test]
    fn each_answer_is_told_as_it_is_whatever_the_one_before_was() {
        let answers = Answers::default();
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\nServer: a\r\nX-A: 1\r\n\r\n", "200 server=a x-a=1"),
            ("HTTP/1.1 200 OK\r\nserver: a\r\nx-a: 2\r\n\r\n", "200 server=a x-a=2"),
            ("HTTP/1.1 404 No\r\nX-A: 2\r\nServer: a\r\nX-B: 3\r\n\r\n", "404 x-a=2 server=a x-b=3"),
            ("HTTP/1.1 200 OK\r\nX-A: 2\r\nKeep-Alive: 1\r\nX-A: 2\r\n\r\n", "200 x-a=2 x-a=2"),
            ("HTTP/1.1 204 No\r\n\r\n", "204"),
            ("HTTP/1.1 200 OK\r\nConnection: X-A\r\nX-A: 2\r\nX-B: 3\r\n\r\n", "200 x-b=3"),
        ] {
            for _ in 0..2 {
                assert_eq!(told(&answers, head), expected);
            }
        }
    }

    #[test]
    fn what_is_kept_of_answers_is_bounded() {
        let answers = Answers::default();
        let many: String = (0..100).map(|i| format!("X-{i}: {i}\r\n")).collect();
        told(&answers, &format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n{many}\r\n", "x".repeat(1000)));
        let kept: usize = answers.fields.borrow().iter().map(|(_, value)| value.len()).sum();
        assert!(kept <= MOST_KEPT * MOST_KEPT_BYTES, "{kept} bytes");
        told(&answers, &format!("HTTP/1.1 200 OK\r\n{many}\r\n"));
        assert_eq!(answers.fields.borrow().len(), MOST_KEPT);
    }

    #[test]
    fn nothing_is_kept_of_answers_while_nothing_is_asked() {
        let answers = Answers::default();
        let head = "HTTP/1.1 200 OK\r\nServer: a\r\n\r\n";
        told(&answers, head);
        answers.rest();
        assert_eq!(answers.fields.borrow().capacity(), 0);
        assert_eq!(told(&answers, head), "200 server=a");
    }

    #[test]
    fn so_many_are_heard_out_and_no_more() {
        let answers = Answers::default();
        let mut all: Vec<_> = (0..MOST_HEARD_OUT).map(|_| answers.hear_one_out().unwrap()).collect();
        assert!(answers.hear_one_out().is_none());
        all.pop();
        assert!(answers.hear_one_out().is_some());
    }
}
