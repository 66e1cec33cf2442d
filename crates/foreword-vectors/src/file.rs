//! The data files as written: one JSON object a line, hex for bytes, text for addresses.
//!
//! The files are part of the crate, so a line that cannot be read is a slip in the crate, and ends its tests.

use serde::Deserialize;

use crate::{Address, Answer, Expected, Family, Level, Opts, Requirement, Transport, Vector, Version};

pub(crate) fn vectors() -> Vec<Vector> {
    lines(include_str!("../data/vectors.jsonl")).map(VectorLine::into_vector).collect()
}

pub(crate) fn requirements() -> Vec<Requirement> {
    lines(include_str!("../data/requirements.jsonl")).map(RequirementLine::into_requirement).collect()
}

fn lines<T: for<'de> Deserialize<'de>>(file: &'static str) -> impl Iterator<Item = T> {
    file.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VectorLine {
    id: String,
    req: String,
    level: LevelWord,
    input_hex: String,
    expect: Expect,
    version: Option<serde_json::Value>,
    command: Option<String>,
    family: Option<FamilyWord>,
    transport: Option<TransportWord>,
    src: Option<String>,
    dst: Option<String>,
    tlvs: Vec<TlvLine>,
    header_len: Option<usize>,
    canonical: Option<bool>,
    #[serde(default)]
    why: String,
    #[serde(default)]
    opts: OptsLine,
    note: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expect {
    Accept,
    Reject,
    NeedMore,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum LevelWord {
    Must,
    Should,
    Choice,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum FamilyWord {
    Inet,
    Inet6,
    Unix,
    Unspec,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum TransportWord {
    Stream,
    Dgram,
    Unspec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlvLine {
    r#type: u8,
    value_hex: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OptsLine {
    max_header_len: Option<usize>,
    context: Option<String>,
    format: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequirementLine {
    id: String,
    area: String,
    level: LevelWord,
    section: String,
    text: String,
    choice: String,
}

impl VectorLine {
    fn into_vector(self) -> Vector {
        let answer = match self.expect {
            Expect::NeedMore => Answer::NeedMore,
            Expect::Reject => Answer::Reject { why: self.why },
            Expect::Accept => Answer::Accept(Box::new(Expected {
                local: self.command.as_deref() == Some("LOCAL"),
                family: self.family.map_or(Family::Unspecified, FamilyWord::into_family),
                transport: self.transport.map_or(Transport::Unspecified, TransportWord::into_transport),
                source: self.src.as_deref().map(address),
                destination: self.dst.as_deref().map(address),
                tlvs: self.tlvs.into_iter().map(|tlv| (tlv.r#type, bytes(&tlv.value_hex))).collect(),
                header_len: self.header_len.expect("an accepted header has a length"),
                canonical: self.canonical,
            })),
        };
        Vector {
            input: bytes(&self.input_hex),
            version: self.version.map(|version| version_of(&version)),
            level: self.level.into_level(),
            answer,
            opts: Opts {
                max_header_len: self.opts.max_header_len,
                datagram: self.opts.context.as_deref() == Some("datagram"),
                spp: self.opts.format.as_deref() == Some("spp"),
            },
            id: self.id,
            req: self.req,
            note: self.note,
        }
    }
}

impl RequirementLine {
    fn into_requirement(self) -> Requirement {
        Requirement {
            id: self.id,
            area: self.area,
            level: self.level.into_level(),
            section: self.section,
            text: self.text,
            choice: self.choice,
        }
    }
}

impl LevelWord {
    const fn into_level(self) -> Level {
        match self {
            Self::Must => Level::Must,
            Self::Should => Level::Should,
            Self::Choice => Level::Choice,
        }
    }
}

impl FamilyWord {
    const fn into_family(self) -> Family {
        match self {
            Self::Inet => Family::Inet,
            Self::Inet6 => Family::Inet6,
            Self::Unix => Family::Unix,
            Self::Unspec => Family::Unspecified,
        }
    }
}

impl TransportWord {
    const fn into_transport(self) -> Transport {
        match self {
            Self::Stream => Transport::Stream,
            Self::Dgram => Transport::Datagram,
            Self::Unspec => Transport::Unspecified,
        }
    }
}

fn version_of(version: &serde_json::Value) -> Version {
    match version.as_u64() {
        Some(1) => Version::One,
        Some(2) => Version::Two,
        _ if version == "spp" => Version::Spp,
        _ => panic!("no such version: {version}"),
    }
}

fn address(text: &str) -> Address {
    match text.strip_prefix("unix:") {
        Some(hex) => Address::Unix(bytes(hex)),
        None => Address::Inet(text.parse().unwrap_or_else(|_| panic!("no address: {text}"))),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or_else(|| panic!("no hex: {hex}"));
    hex.as_bytes()
        .chunks(2)
        .map(|pair| pair.iter().map(digit).fold(0, |byte, digit| byte << 4 | digit))
        .map(|byte| u8::try_from(byte).expect("two digits are a byte"))
        .collect()
}
