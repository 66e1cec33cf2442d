//! What a line looks like: JSON, combined, HAProxy's, or a template.

use foreword_rule::Part;

use super::clock::{Clock, write};
use super::template::Column;
use super::{AccessLogPlan, LogFormat, LogTarget, Memory, Redact, combined, escape, haproxy, json, redact};
use crate::digits;
use crate::observe::Name;
use crate::observe::entry::{Entry, Value};
use crate::observe::name::Wants;

/// A format, ready to write.
#[derive(Debug)]
pub(crate) struct Format {
    format: LogFormat,
    redact: Redact,
    wants: Wants,
    fields: Box<[Box<str>]>,
    /// The name of this machine, where lines begin as in a syslog file.
    host: Option<String>,
}

impl Format {
    pub(super) fn new(plan: &AccessLogPlan) -> Self {
        let in_a_file = matches!(plan.to, LogTarget::Stdout | LogTarget::File(_));
        Self {
            format: plan.format.clone(),
            redact: plan.redact,
            wants: wants(&plan.format),
            fields: fields(&plan.format),
            host: (in_a_file && plan.format == LogFormat::Haproxy).then(super::syslog::host_name),
        }
    }

    /// The names that need to be noted.
    pub(super) fn wants(&self) -> Wants {
        self.wants
    }

    /// The request fields that need to be noted, in the order of their columns.
    pub(super) fn fields(&self) -> &[Box<str>] {
        &self.fields
    }

    /// Writes the line of `entry`, with its end.
    pub(super) fn write(&self, entry: &Entry<'_>, memory: &mut Memory, out: &mut Vec<u8>) {
        let clock = &mut memory.clock;
        match &self.format {
            LogFormat::Json => json::line(entry, self.redact, memory, out),
            LogFormat::Combined => combined::line(entry, self.redact, clock, out),
            LogFormat::Haproxy => {
                if let Some(host) = &self.host {
                    haproxy::prefix(clock, host, out);
                }
                haproxy::line(entry, self.redact, clock, out);
            }
            LogFormat::Template(template) => self.template(template.0.parts(), entry, clock, out),
        }
        out.push(b'\n');
    }

    fn template(&self, parts: &[Part<Column>], entry: &Entry<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
        let mut place = 0;
        for part in parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Value(Column::Name(name)) => {
                    self.value(*name, entry.value(*name), clock, out, escape::quoted);
                }
                Part::Value(Column::Field(name)) => {
                    match entry.exchange.field(place) {
                        Some(value) => {
                            redact::field(self.redact, name, value, &mut |bytes| escape::quoted(bytes, out));
                        }
                        None => out.push(b'-'),
                    }
                    place += 1;
                }
            }
        }
    }

    fn value(&self, name: Name, value: Value<'_>, clock: &mut Clock, out: &mut Vec<u8>, escape: Escape) {
        match value {
            Value::Absent => out.push(b'-'),
            Value::Text(text) => redact::text(self.redact, name, text, &mut |bytes| escape(bytes, out)),
            Value::Word(word) => escape(word.as_bytes(), out),
            Value::Number(number) => digits::number(number, out),
            Value::Ip(ip) => digits::ip(ip, out),
            Value::Unix(path) => {
                out.extend_from_slice(b"unix:");
                escape(path, out);
            }
            Value::Flag(flag) => out.extend_from_slice(word(flag).as_bytes()),
            Value::Time(time) => clock.rfc3339(time, out),
            Value::Code(code) => write(out, format_args!("{code}")),
            Value::State(state) => out.extend_from_slice(&state),
        }
    }
}

pub(super) const fn word(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

type Escape = fn(&[u8], &mut Vec<u8>);

fn wants(format: &LogFormat) -> Wants {
    let of = |names: &[Name]| names.iter().fold(Wants::NOTHING, |wants, &name| wants.and(name));
    match format {
        LogFormat::Json => Wants::EVERYTHING,
        LogFormat::Combined => of(&[Name::Method, Name::Target, Name::Referer, Name::UserAgent, Name::User]),
        // The TLS version is not shown, but whether there is TLS is.
        LogFormat::Haproxy => {
            of(&[Name::Method, Name::Target, Name::Cluster, Name::Endpoint, Name::TlsVersion])
        }
        LogFormat::Template(template) => template.0.variables().fold(Wants::NOTHING, |wants, column| {
            match column {
                Column::Name(name) => wants.and(*name),
                // Any name makes the record ask for fields; the time costs nothing.
                Column::Field(_) => wants.and(Name::Timestamp),
            }
        }),
    }
}

fn fields(format: &LogFormat) -> Box<[Box<str>]> {
    let LogFormat::Template(template) = format else { return Box::default() };
    let field = |column: &Column| match column {
        Column::Field(name) => Some(name.clone()),
        Column::Name(_) => None,
    };
    template.0.variables().filter_map(field).collect()
}
