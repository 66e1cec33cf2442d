//! JSON lines, the default: an object a line.
//!
//! Every request has such a line, and it was the largest single part of its cost. So each name has its own piece of
//! code, in which the key is a constant and the kind of the value is settled.

use super::clock::{Clock, write};
use super::format::word;
use super::{Redact, escape, redact};
use crate::digits;
use crate::observe::Name;
use crate::observe::entry::{Entry, Value};
use crate::observe::name::Visit;

/// Writes the line of `entry`, without its end.
pub(super) fn line(entry: &Entry<'_>, redact: Redact, clock: &mut Clock, out: &mut Vec<u8>) {
    let begin = out.len();
    out.reserve(COMMON_LINE);
    Name::each(&mut Line { entry, redact, clock, out });
    // The comma of the first key.
    if let Some(first) = out.get_mut(begin) {
        *first = b'{';
    }
    out.push(b'}');
}

struct Line<'l, 'e> {
    entry: &'l Entry<'e>,
    redact: Redact,
    clock: &'l mut Clock,
    out: &'l mut Vec<u8>,
}

impl Visit for Line<'_, '_> {
    #[inline(always)]
    fn visit(&mut self, name: Name) {
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
}

impl Line<'_, '_> {
    #[inline(always)]
    fn key(&mut self, key: &'static str) {
        self.out.extend_from_slice(key.as_bytes());
    }

    #[inline(always)]
    fn text(&mut self, name: Name, text: Value<'_>) {
        let out = &mut *self.out;
        match text {
            Value::Text(text) => redact::text(self.redact, name, text, &mut |bytes| escape::json(bytes, out)),
            Value::Word(word) => escape::json(word.as_bytes(), out),
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
