//! What a cluster's v2 header carries besides addresses: `send_tlvs`, `pass_tlvs`, `max_header`.

use foreword_rule::{Template, Variable, suggest};

use super::document::{Notes, Table, Value, listed, shown};
use super::keys::SEND_TLV;
use super::problem::Problem;
use crate::plan::{
    DEFAULT_MAX_HEADER, MAX_TLVS, PassTlvs, SendHeader, SendTlv, SslParts, TlvKind, TlvValue, Unfit,
};

/// What a header carries, and how long it may be.
pub(super) struct Carried {
    pub(super) send: Vec<SendTlv>,
    pub(super) pass: PassTlvs,
    pub(super) max: usize,
}

/// Reads what a header of this version carries.
pub(super) fn read(table: &Table<'_, '_>, send_header: SendHeader) -> Carried {
    let max = table.size("max_header").map_or(DEFAULT_MAX_HEADER, |max| max.value);
    let list = table.read("send_tlvs", |value| value.list());
    if let Some(list) = list.as_ref().filter(|list| list.value.len() > MAX_TLVS) {
        let expected = format!("at most {MAX_TLVS} TLVs");
        table.notes().problem(list.place.expected(expected, list.value.len()));
    }
    let send = list.map(|list| read_sent(&list.value, max, table.notes())).unwrap_or_default();
    let pass = table.get("pass_tlvs");
    let pass = pass.as_ref().and_then(|value| read_passed(value, table.notes())).unwrap_or_default();
    if !matches!(send_header, SendHeader::V2 | SendHeader::V2First) {
        for (key, is_used) in
            [("send_tlvs", !send.is_empty()), ("pass_tlvs", !pass.is_none()), ("max_header", true)]
        {
            let Some(value) = table.get(key).filter(|_| is_used) else { continue };
            let problem = format!("`{key}` has no effect: only a v2 header carries TLVs");
            table.notes().problem(value.place.problem(problem).hint("add `send_header = \"v2\"`"));
        }
    }
    Carried { send, pass, max }
}

fn read_sent(list: &[Value<'_>], max: usize, notes: &Notes) -> Vec<SendTlv> {
    let mut tlvs: Vec<SendTlv> = Vec::new();
    for value in list {
        let read = if value.is_table() { read_given(value, max, notes) } else { read_word(value, notes) };
        let Some(tlv) = read else { continue };
        let kind = tlv.kind();
        let is_again =
            |other: &SendTlv| *other == tlv || other.kind().number == kind.number && kind.is_said_once();
        if tlvs.iter().any(is_again) {
            notes.problem(value.place.expected("each TLV once", format_args!("`{kind}` again")));
        } else {
            tlvs.push(tlv);
        }
    }
    tlvs
}

/// A TLV that is known by its word alone.
fn read_word(value: &Value<'_>, notes: &Notes) -> Option<SendTlv> {
    let words = [
        ("alpn", SendTlv::Alpn),
        ("authority", SendTlv::Authority),
        ("unique_id", SendTlv::UniqueId),
        ("crc32c", SendTlv::Crc32c),
        ("ssl", SendTlv::Ssl(SslParts::DEFAULT)),
        ("netns", SendTlv::Netns),
    ];
    let word = value.one_of(&words).map_err(|problem| match value.text() {
        Ok(name) if TlvKind::given_names().any(|known| known == name) => problem.hint(format!(
            "give it a value: `{{ kind = \"{name}\", value = \"…\" }}`; `pass_tlvs` passes on the one that came"
        )),
        _ => problem,
    });
    notes.keep(word)
}

/// A TLV that is written as a table.
fn read_given(value: &Value<'_>, max: usize, notes: &Notes) -> Option<SendTlv> {
    let table = notes.keep(value.table(&SEND_TLV, notes))?;
    let kind = table.require("kind", read_kind)?;
    let no_effect = |key: &'static str, why: &str| {
        if let Some(value) = table.get(key) {
            notes.problem(value.place.problem(format!("`{key}` has no effect: {why}")));
        }
    };
    if kind.value.number == foreword::kind::SSL {
        no_effect("value", "`ssl` says what is known of the client's TLS");
        let parts = table.get("parts").map(|parts| read_parts(&parts, notes));
        return Some(SendTlv::Ssl(parts.unwrap_or(SslParts::DEFAULT)));
    }
    no_effect("parts", "only `ssl` has parts");
    if !kind.value.is_given() {
        let problem = kind
            .place
            .expected(format_args!("{} as a kind with a value", givable()), shown(&kind.value.to_string()));
        let hint = match kind.value.number {
            foreword::kind::CHECKSUM => {
                "the checksum is made from the finished header: write `\"crc32c\"` in place of the table"
            }
            _ => "nobody reads padding",
        };
        notes.problem(problem.hint(hint));
        return None;
    }
    if kind.value.tag.is_none() && !kind.value.has_name() && !TlvKind::is_free(kind.value.number) {
        notes.warning(kind.place.problem(format!(
            "the kind {} belongs to the specification, which may give it a meaning; from 0xE0 to 0xF7 they are free",
            kind.value
        )));
    }
    let value = table.require("value", |value| read_value(value, &kind.value, max))?.value;
    Some(SendTlv::Given { kind: kind.value, value })
}

fn read_kind(value: &Value<'_>) -> Result<TlvKind, Problem> {
    if value.is_text() {
        let name = value.text()?;
        return TlvKind::named(name).ok_or_else(|| {
            let expected = format!("{}, or a number such as `0xE1`,", listed(TlvKind::names(), "or"));
            let problem = value.expected(expected);
            match name.parse::<u8>().is_ok() || name.starts_with("0x") {
                true => problem.hint(format!("write it without quotes: `{name}`")),
                false => problem.did_you_mean(suggest(name, TlvKind::names())),
            }
        });
    }
    let number = value.number(0, u8::MAX.into())? as u8;
    match TlvKind::name_of(number).filter(|_| !TlvKind::is_free(number)) {
        None => Ok(TlvKind::numbered(number)),
        Some(name) => {
            Err(value.expected("a kind without a name of its own").hint(format!("write `\"{name}\"`")))
        }
    }
}

fn read_parts(value: &Value<'_>, notes: &Notes) -> SslParts {
    let mut parts = SslParts::LEAST;
    let names: Vec<(&str, &str)> = SslParts::names().map(|name| (name, name)).collect();
    for part in notes.keep(value.list()).unwrap_or_default() {
        let name = notes.keep(part.one_of(&names));
        parts = name.and_then(|name| parts.and(name)).unwrap_or(parts);
    }
    parts
}

fn read_value(value: &Value<'_>, kind: &TlvKind, max: usize) -> Result<TlvValue, Problem> {
    let written = value.text()?;
    let said = match value.hex()? {
        Some(bytes) => bytes,
        None => {
            let template = Template::parse(written, variable).map_err(|error| value.place.in_rule(&error))?;
            match template.constant() {
                Some(text) => text.into_bytes(),
                None => return Ok(TlvValue::Made(template)),
            }
        }
    };
    let mut fixed = Vec::new();
    kind.write(&said, &mut fixed).map_err(|Unfit(expected)| {
        let found = if said.len() > SHOWN { format!("{} bytes", said.len()) } else { value.shown() };
        value.place.expected(format_args!("{expected} as the value of `{kind}`"), found)
    })?;
    let room = max.saturating_sub(AROUND);
    if fixed.len() > room {
        let problem = value
            .place
            .expected(format_args!("a value of at most {room} bytes"), format_args!("{}", fixed.len()));
        return Err(problem
            .hint(format!("the whole header may have {max}: set `max_header` if the receiver takes more")));
    }
    Ok(TlvValue::Fixed(fixed.into()))
}

/// A variable that is known when a connection begins.
fn variable(name: &str) -> Result<Variable, String> {
    let variable = Variable::for_template(name)?;
    match variable.needs_http() {
        false => Ok(variable),
        true => Err(format!(
            "expected a variable of the connection, found {}: a header goes before all requests",
            shown(name)
        )),
    }
}

fn read_passed(value: &Value<'_>, notes: &Notes) -> Option<PassTlvs> {
    if value.is_text() {
        return notes.keep(value.one_of(&[("all", PassTlvs::All)]));
    }
    let mut kinds: Vec<TlvKind> = Vec::new();
    for value in notes.keep(value.list())? {
        let Some(kind) = notes.keep(read_kind(&value)) else { continue };
        if matches!(kind.number, foreword::kind::CHECKSUM | foreword::kind::NOOP) {
            let problem = value.place.problem(format!("`{kind}` is never passed on"));
            notes.problem(match kind.number {
                foreword::kind::CHECKSUM => {
                    problem.hint("`send_tlvs = [\"crc32c\"]` has one made for the new header")
                }
                _ => problem.hint("it is padding"),
            });
        } else if kinds.contains(&kind) {
            notes.problem(value.place.expected("each kind once", format_args!("`{kind}` again")));
        } else {
            kinds.push(kind);
        }
    }
    Some(PassTlvs::These(kinds.into()))
}

fn givable() -> String {
    format!("{}, or a number,", listed(TlvKind::given_names(), "or"))
}

/// The longest value that a message repeats.
const SHOWN: usize = 40;
/// What stands in every header beside a TLV's value: the fixed part, IPv4 addresses, the TLV's kind and length.
const AROUND: usize = 16 + 12 + 3;

#[cfg(test)]
mod tests {
    use std::path::Path;

    const FILE: &str = "[listener.edge]\nbind = [\"127.0.0.1:1\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
                        [cluster.app]\nendpoints = [\"127.0.0.1:2\"]\nsend_header = \"v2\"\n";

    fn read(line: &str) -> Result<Vec<String>, String> {
        let file = format!("{FILE}{line}\n");
        match crate::config::parse(&file, "f.toml", Path::new(".")) {
            Ok(read) => Ok(read.plan.warnings.iter().map(ToString::to_string).collect()),
            Err(problems) => Err(problems.to_string()),
        }
    }

    #[test]
    fn every_form_is_taken() {
        for line in [
            "send_tlvs = [\"alpn\", \"authority\", \"unique_id\", \"crc32c\", \"ssl\", \"netns\"]",
            "send_tlvs = [{ kind = \"aws.vpce\", value = \"vpce-1\" }, { kind = \"azure.link_id\", value = \"7\" }]",
            "send_tlvs = [{ kind = 0xE1, value = \"a\" }, { kind = 225, value = \"hex:01ff\" }, { kind = 0xF7, value = \"\" }]",
            "send_tlvs = [{ kind = \"ssl\", parts = [\"cn\", \"client_cert\"] }]",
            "pass_tlvs = [\"aws.vpce\", 0xEE, 0x77, \"ssl\"]",
            "pass_tlvs = \"all\"\nmax_header = \"4KiB\"",
        ] {
            assert_eq!(read(line), Ok(Vec::new()), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
        for (line, told) in [
            (
                "send_tlvs = [\"aws.vpce\"]",
                "f.toml:8:14: cluster `app`: expected `alpn`, `authority`, `unique_id`, `crc32c`, `ssl` or `netns` for `send_tlvs`, found `aws.vpce`\n\
                 hint: give it a value: `{ kind = \"aws.vpce\", value = \"…\" }`; `pass_tlvs` passes on the one that came",
            ),
            (
                "send_tlvs = [{ kind = \"aws_vpce\", value = \"x\" }]",
                "f.toml:8:23: cluster `app`: expected `alpn`, `authority`, `crc32c`, `noop`, `unique_id`, `ssl`, `netns`, `gcp.psc_id`, `alibaba.vpc`, `alibaba.endpoint`, `alibaba.service`, `aws.vpce` or `azure.link_id`, or a number such as `0xE1`, for `kind`, found `aws_vpce`\n\
                 hint: did you mean `aws.vpce`?",
            ),
            (
                "send_tlvs = [{ kind = \"0xE1\", value = \"x\" }]",
                "or a number such as `0xE1`, for `kind`, found `0xE1`\nhint: write it without quotes: `0xE1`",
            ),
            (
                "send_tlvs = [{ kind = 0x02, value = \"x\" }]",
                "f.toml:8:23: cluster `app`: expected a kind without a name of its own for `kind`, found `0x02`\n\
                 hint: write `\"authority\"`",
            ),
            (
                "send_tlvs = [{ kind = 256, value = \"x\" }]",
                "expected a number from 0 to 255 for `kind`, found `256`",
            ),
            (
                "send_tlvs = [{ kind = 0xE1 }]",
                "f.toml:8:14: cluster `app`: expected the key `value`, found none",
            ),
            (
                "send_tlvs = [{ kind = \"ssl\", value = \"x\" }]",
                "f.toml:8:38: cluster `app`: `value` has no effect: `ssl` says what is known of the client's TLS",
            ),
            (
                "send_tlvs = [{ kind = 0xE1, value = \"x\", parts = [] }]",
                "`parts` has no effect: only `ssl` has parts",
            ),
            (
                "send_tlvs = [{ kind = \"crc32c\", value = \"x\" }]",
                "hint: the checksum is made from the finished header: write `\"crc32c\"` in place of the table",
            ),
            ("send_tlvs = [{ kind = \"ssl\", parts = [\"cnn\"] }]", "found `cnn`\nhint: did you mean `cn`?"),
            (
                "send_tlvs = [{ kind = 0xE1, value = \"{client.ipp}\" }]",
                "f.toml:8:39: cluster `app`: expected a variable, found `client.ipp`; did you mean `client.ip`?",
            ),
            (
                "send_tlvs = [{ kind = 0xE1, value = \"{host}\" }]",
                "expected a variable of the connection, found `host`: a header goes before all requests",
            ),
            (
                "send_tlvs = [{ kind = 0xE1, value = \"hex:0g\" }]",
                "f.toml:8:43: cluster `app`: expected hex digits, found `g`",
            ),
            (
                "send_tlvs = [{ kind = \"gcp.psc_id\", value = \"seven\" }]",
                "expected a number from 0 to 18446744073709551615 as the value of `gcp.psc_id`, found `seven`",
            ),
            (
                &format!("send_tlvs = [{{ kind = \"unique_id\", value = \"{}\" }}]", "i".repeat(129)),
                "expected 1 to 128 bytes as the value of `unique_id`, found 129 bytes",
            ),
            (
                &format!("send_tlvs = [{{ kind = 0xE1, value = \"{}\" }}]", "i".repeat(506)),
                "expected a value of at most 505 bytes, found 506\n\
                 hint: the whole header may have 536: set `max_header` if the receiver takes more",
            ),
            (
                "send_tlvs = [\"alpn\", { kind = \"alpn\", value = \"h2\" }]",
                "f.toml:8:22: cluster `app`: expected each TLV once, found `alpn` again",
            ),
            ("pass_tlvs = \"some\"", "expected `all` for `pass_tlvs`, found `some`"),
            (
                "pass_tlvs = [\"crc32c\"]",
                "f.toml:8:14: cluster `app`: `crc32c` is never passed on\n\
                 hint: `send_tlvs = [\"crc32c\"]` has one made for the new header",
            ),
            ("pass_tlvs = [\"ssl\", \"ssl\"]", "expected each kind once, found `ssl` again"),
            ("max_header = 106", "expected a size from 107 to 65551 bytes for `max_header`, found `106`"),
        ] {
            let found = read(line).expect_err(line);
            assert!(found.contains(told), "{line}\n{found}");
        }
    }

    #[test]
    fn what_only_version_two_has_is_no_use_without_it() {
        for line in ["send_tlvs = [\"alpn\"]", "pass_tlvs = \"all\"", "max_header = 512"] {
            let file = FILE.replace("\"v2\"", "\"v1\"") + line;
            let told = crate::config::parse(&file, "f.toml", Path::new(".")).unwrap_err().to_string();
            assert!(told.contains("has no effect: only a v2 header carries TLVs"), "{told}");
        }
    }

    #[test]
    fn a_kind_of_the_specification_s_own_is_warned_of() {
        let warnings = read("send_tlvs = [{ kind = 0x77, value = \"x\" }]").unwrap();
        assert!(warnings.concat().contains("the kind 0x77 belongs to the specification"), "{warnings:?}");
    }
}
