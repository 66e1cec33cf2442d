//! `--write-out`: curl's variables, and a JSON object of all of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::save::Tally;
use super::watch::Seen;
use crate::args::hex;
use crate::output::anatomy;

/// All that can be told about a transfer.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) seen: &'a Seen,
    pub(super) tally: &'a Tally,
    pub(super) url: &'a str,
    pub(super) effective: String,
    pub(super) scheme: &'static str,
    pub(super) method: String,
    pub(super) index: usize,
    pub(super) redirects: u32,
    pub(super) redirect_url: Option<String>,
    pub(super) redirect_time: Duration,
    pub(super) total: Duration,
    pub(super) uploaded: u64,
    pub(super) file: Option<String>,
    pub(super) exit: u8,
    pub(super) error: Option<String>,
}

/// Where a piece of `--write-out` goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    Stdout,
    Stderr,
}

impl Report<'_> {
    /// The format with its variables filled in, cut where the output changes.
    pub(super) fn fill(&self, format: &str) -> Vec<(To, String)> {
        let variables = self.variables();
        let mut pieces = vec![(To::Stdout, String::new())];
        let mut rest = format;
        while let Some(at) = rest.find(['%', '\\']) {
            let (plain, special) = rest.split_at(at);
            push(&mut pieces, plain);
            rest = match special.strip_prefix("%{").and_then(|inside| inside.split_once('}')) {
                Some(("stderr", after)) => {
                    pieces.push((To::Stderr, String::new()));
                    after
                }
                // What follows is for failures only.
                Some(("onerror", _)) if self.exit == 0 => return pieces,
                Some(("stdout", after)) => {
                    pieces.push((To::Stdout, String::new()));
                    after
                }
                Some((name, after)) => {
                    match self.variable(name, &variables) {
                        Some(text) => push(&mut pieces, &text),
                        None => warn(&mut pieces, name),
                    }
                    after
                }
                None => match special.strip_prefix("%header{").and_then(|inside| inside.split_once('}')) {
                    Some((name, after)) => {
                        push(&mut pieces, &self.field(name));
                        after
                    }
                    None => escaped(special, &mut pieces),
                },
            };
        }
        push(&mut pieces, rest);
        pieces
    }

    /// A variable as text; nothing if there is none of that name.
    fn variable(&self, name: &str, variables: &BTreeMap<&'static str, Value>) -> Option<String> {
        Some(match (name, variables.get(name)) {
            ("json", _) => self.json(variables),
            ("header_json", _) => self.header_json(),
            ("onerror", _) | (_, Some(Value::Null)) => String::new(),
            (_, None) => return None,
            ("http_code" | "response_code" | "http_connect", Some(code)) => {
                format!("{:03}", code.as_u64().unwrap_or(0))
            }
            (time, Some(seconds)) if time.starts_with("time_") => {
                format!("{:.6}", seconds.as_f64().unwrap_or(0.0))
            }
            (_, Some(Value::String(text))) => text.clone(),
            (_, Some(value)) => value.to_string(),
        })
    }

    /// The fields in the order in which they first came, a line each, as curl writes them.
    fn header_json(&self) -> String {
        let mut fields: Vec<(String, Vec<&str>)> = Vec::new();
        for (name, value) in &self.tally.fields {
            let name = name.to_ascii_lowercase();
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => fields.push((name, vec![value])),
            }
        }
        let lines: Vec<_> =
            fields.iter().map(|(name, values)| format!("{}:{}", json!(name), json!(values))).collect();
        format!("{{{}\n}}", lines.join(",\n"))
    }

    /// Everything at once, with the header that was sent in bytes and in words.
    fn json(&self, variables: &BTreeMap<&'static str, Value>) -> String {
        let mut object: Map<String, Value> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let header = match self.seen.header.as_slice() {
            [] => Value::Null,
            bytes => {
                json!({ "bytes": bytes.len(), "hex": hex::text(bytes), "says": anatomy::summary(bytes) })
            }
        };
        object.insert("proxy_header".to_owned(), header);
        object.insert("headers".to_owned(), self.fields_json());
        Value::Object(object).to_string()
    }

    fn fields_json(&self) -> Value {
        let mut fields: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, value) in &self.tally.fields {
            fields.entry(name.to_ascii_lowercase()).or_default().push(value);
        }
        json!(fields)
    }

    fn field(&self, name: &str) -> String {
        let same = |(own, _): &&(String, String)| own.eq_ignore_ascii_case(name);
        self.tally.fields.iter().find(same).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    fn variables(&self) -> BTreeMap<&'static str, Value> {
        let seconds = |time: Duration| json!(time.as_micros() as f64 / 1e6);
        let (seen, tally) = (self.seen, self.tally);
        let rate = |bytes: u64| (bytes as f64 / self.total.as_secs_f64().max(1e-6)) as u64;
        let version = match (tally.status, tally.http10) {
            (0, _) => "0",
            // As curl writes it.
            (_, true) => "1",
            (_, false) => "1.1",
        };
        BTreeMap::from([
            ("content_type", json!(tally.content_type)),
            ("errormsg", json!(self.error)),
            ("exitcode", json!(self.exit)),
            ("filename_effective", json!(self.file)),
            ("http_code", json!(tally.status)),
            ("http_connect", json!(0)),
            ("http_version", json!(version)),
            ("local_ip", json!(seen.local.map(|local| local.ip().to_string()))),
            ("local_port", json!(seen.local.map_or(0, |local| local.port()))),
            ("method", json!(self.method)),
            ("num_connects", json!(seen.connections)),
            ("num_headers", json!(tally.fields.len())),
            ("num_redirects", json!(self.redirects)),
            ("proxy_ssl_verify_result", json!(0)),
            ("redirect_url", json!(self.redirect_url)),
            ("referer", Value::Null),
            ("remote_ip", json!(seen.peer.map(|peer| peer.ip().to_string()))),
            ("remote_port", json!(seen.peer.map_or(0, |peer| peer.port()))),
            ("response_code", json!(tally.status)),
            ("scheme", json!(self.scheme)),
            ("size_download", json!(tally.content_bytes)),
            ("size_header", json!(tally.head_bytes)),
            ("size_request", json!(seen.request_bytes)),
            ("size_upload", json!(self.uploaded)),
            ("speed_download", json!(rate(tally.content_bytes))),
            ("speed_upload", json!(rate(self.uploaded))),
            // 0 means verified; curl's other numbers are OpenSSL's, and 1 is "not ok".
            ("ssl_verify_result", json!(u8::from(seen.verified == Some(false)))),
            ("ssl_version", json!(seen.tls_version)),
            ("time_appconnect", seconds(seen.encrypted)),
            ("time_connect", seconds(seen.connected)),
            ("time_namelookup", seconds(seen.resolved)),
            ("time_pretransfer", seconds(seen.asked)),
            ("time_redirect", seconds(self.redirect_time)),
            ("time_starttransfer", seconds(seen.answered)),
            ("time_total", seconds(self.total)),
            ("url", json!(self.url)),
            ("url_effective", json!(self.effective)),
            ("urlnum", json!(self.index)),
        ])
    }
}

/// `%%`, `\n`, `\r`, `\t`; anything else stands for itself.
fn escaped<'a>(special: &'a str, pieces: &mut [(To, String)]) -> &'a str {
    for (written, meant) in [("%%", "%"), ("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t")] {
        if let Some(after) = special.strip_prefix(written) {
            push(pieces, meant);
            return after;
        }
    }
    let mut letters = special.chars();
    if let Some(letter) = letters.next() {
        push(pieces, letter.encode_utf8(&mut [0; 4]));
    }
    letters.as_str()
}

/// Says on standard error that there is no such variable, and goes on where it was.
fn warn(pieces: &mut Vec<(To, String)>, name: &str) {
    let back = pieces.last().map_or(To::Stdout, |(to, _)| *to);
    pieces.push((To::Stderr, format!("warning: --write-out has no variable `{}`\n", name.escape_debug())));
    pieces.push((back, String::new()));
}

fn push(pieces: &mut [(To, String)], text: &str) {
    if let Some((_, piece)) = pieces.last_mut() {
        // Writing to a String cannot fail.
        let _ = piece.write_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(format: &str) -> Vec<(To, String)> {
        let tally = Tally {
            status: 200,
            content_bytes: 5,
            fields: vec![("Server".into(), "x".into()), ("server".into(), "y".into())],
            ..Tally::default()
        };
        let report = Report {
            seen: &Seen::default(),
            tally: &tally,
            url: "h",
            effective: "http://h/".into(),
            scheme: "HTTP",
            method: "GET".into(),
            index: 0,
            redirects: 0,
            redirect_url: None,
            redirect_time: Duration::ZERO,
            total: Duration::from_millis(1500),
            uploaded: 0,
            file: None,
            exit: 0,
            error: None,
        };
        report.fill(format)
    }

    #[test]
    fn variables_and_escapes_are_filled_in_as_curl_does() {
        let text = "%{http_code} %{time_total}\\n100%% %{size_download}%{redirect_url} %header{SERVER} %x\\q";
        assert_eq!(filled(text), [(To::Stdout, "200 1.500000\n100% 5 x %x\\q".into())]);
    }

    #[test]
    fn an_unknown_variable_is_told_and_the_rest_goes_on() {
        let pieces = filled("a%{nonsense}b");
        let warning = "warning: --write-out has no variable `nonsense`\n";
        assert_eq!(
            pieces,
            [(To::Stdout, "a".into()), (To::Stderr, warning.into()), (To::Stdout, "b".into())]
        );
    }

    #[test]
    fn what_is_for_failures_is_left_out_of_a_success() {
        assert_eq!(filled("a%{onerror}b"), [(To::Stdout, "a".into())]);
    }

    #[test]
    fn fields_are_told_as_curl_tells_them() {
        assert_eq!(filled("%{header_json}"), [(To::Stdout, "{\"server\":[\"x\",\"y\"]\n}".into())]);
    }

    #[test]
    fn output_can_change_in_the_middle() {
        let pieces = filled("a%{stderr}b%{stdout}c");
        assert_eq!(pieces, [(To::Stdout, "a".into()), (To::Stderr, "b".into()), (To::Stdout, "c".into())]);
    }

    #[test]
    fn json_holds_everything() {
        let object: Value = serde_json::from_str(&filled("%{json}")[0].1).expect("an object");
        assert_eq!(object["http_code"], 200);
        assert_eq!(object["time_total"], 1.5);
        assert_eq!(object["headers"]["server"], json!(["x", "y"]));
        assert_eq!(object["proxy_header"], Value::Null);
    }
}
