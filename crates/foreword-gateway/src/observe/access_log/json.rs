//! JSON lines, the default: an object a line.
//!
//! Every request has such a line, and it was the largest single part of its cost. So each name has its own piece of
//! code, in which the key is a constant and the kind of the value is settled.

use super::clock::{Clock, write};
use super::format::word;
use super::{Memory, Redact, escape, redact};
use crate::digits;
use crate::observe::Name;
use crate::observe::entry::{Entry, Value};
use crate::observe::name::Visit;

/// Writes the line of `entry`, without its end.
pub(super) fn line(entry: &Entry<'_>, redact: Redact, memory: &mut Memory, out: &mut Vec<u8>) {
    let Memory { clock, recent } = memory;
    let connection = recent.text(entry, |out| connection(entry, redact, clock, out));
    let begin = out.len();
    out.reserve(COMMON_LINE);
    // One look at all texts of a request together: what nearly all are made of is copied as it is.
    let are_plain = escape::is_all_plain(entry.exchange.all_texts());
    Name::each(&mut Line { connection, pairs: Pairs { entry, redact, clock, are_plain, out } });
    // The comma of the first key.
    if let Some(first) = out.get_mut(begin) {
        *first = b'{';
    }
    out.push(b'}');
}

/// Writes what all lines of a connection tell of it.
fn connection(entry: &Entry<'_>, redact: Redact, clock: &mut Clock, out: &mut Vec<u8>) {
    Name::each(&mut OfConnection(Pairs { entry, redact, clock, are_plain: false, out }));
}

/// Writes a whole line; `connection` is what stands in it about the connection.
struct Line<'l, 'e> {
    connection: &'l [u8],
    pairs: Pairs<'l, 'e>,
}

impl Visit for Line<'_, '_> {
    #[inline(always)]
    fn visit(&mut self, name: Name) {
        match name {
            Name::Listener => self.pairs.out.extend_from_slice(self.connection),
            name if name.is_of_connection() => {}
            name => self.pairs.pair(name),
        }
    }
}

struct OfConnection<'l, 'e>(Pairs<'l, 'e>);

impl Visit for OfConnection<'_, '_> {
    #[inline(always)]
    fn visit(&mut self, name: Name) {
        if name.is_of_connection() {
            self.0.pair(name);
        }
    }
}

struct Pairs<'l, 'e> {
    entry: &'l Entry<'e>,
    redact: Redact,
    clock: &'l mut Clock,
    /// Whether no text has anything in it that must be escaped.
    are_plain: bool,
    out: &'l mut Vec<u8>,
}

impl Pairs<'_, '_> {
    /// Writes what there is under a name.
    #[inline(always)]
    fn pair(&mut self, name: Name) {
        match self.entry.value(name) {
            Value::Absent => {}
            Value::Number(number) => {
                self.key(name.as_key());
                digits::number(number, self.out);
            }
            Value::Flag(flag) => {
                self.key(name.as_key());
                self.out.extend_from_slice(word(flag).as_bytes());
            }
            text => {
                self.key(name.as_key_of_text());
                self.text(name, text);
                self.out.push(b'"');
            }
        }
    }

    #[inline(always)]
    fn key(&mut self, key: &'static str) {
        self.out.extend_from_slice(key.as_bytes());
    }

    #[inline(always)]
    fn text(&mut self, name: Name, text: Value<'_>) {
        let out = &mut *self.out;
        match text {
            Value::Text(text) => redact::text(self.redact, name, text, &mut |bytes| match self.are_plain {
                true => out.extend_from_slice(bytes),
                false => escape::json(bytes, out),
            }),
            Value::Word(word) => out.extend_from_slice(word.as_bytes()),
            Value::Ip(ip) => digits::ip(ip, out),
            Value::Unix(path) => {
                out.extend_from_slice(b"unix:");
                escape::json(path, out);
            }
            Value::Time(time) => self.clock.rfc3339(time, out),
            Value::Code(code) => write(out, format_args!("{code}")),
            Value::State(state) => out.extend_from_slice(&state),
            Value::Absent | Value::Number(_) | Value::Flag(_) => {}
        }
    }
}

/// Most lines are shorter, so that there is room for all of one at once.
const COMMON_LINE: usize = 1024;
