//! The good vectors of the repository, sorted by what has to be done to read them.

use foreword_vectors::{Answer, Expected, Family, Vector, Version, vectors};

/// Headers of one kind.
#[derive(Debug)]
pub struct Group {
    /// What it is called in tables.
    pub name: &'static str,
    /// Each as a receiver sees it: payload may follow.
    pub inputs: Vec<&'static [u8]>,
}

/// All groups that have a header in them.
#[must_use]
pub fn groups() -> Vec<Group> {
    let mut groups: Vec<Group> = NAMES.iter().map(|&name| Group { name, inputs: Vec::new() }).collect();
    for vector in vectors() {
        let Answer::Accept(expected) = &vector.answer else { continue };
        let is_usual = !vector.opts.spp && !vector.opts.datagram && expected.header_len <= LONGEST;
        if let Some(name) = kind(vector, expected).filter(|_| is_usual)
            && let Some(group) = groups.iter_mut().find(|group| group.name == name)
        {
            group.inputs.push(&vector.input);
        }
    }
    groups
}

fn kind(vector: &Vector, expected: &Expected) -> Option<&'static str> {
    let has = |kind: u8| expected.tlvs.iter().any(|(known, _)| *known == kind);
    Some(match (vector.version?, expected.family) {
        (Version::Spp, _) => return None,
        (Version::One, Family::Inet) => "v1 TCP4",
        (Version::One, Family::Inet6) => "v1 TCP6",
        (Version::One, _) => "v1 UNKNOWN",
        (Version::Two, _) if has(CRC32C) => "v2 CRC32C",
        (Version::Two, _) if has(SSL) => "v2 SSL",
        (Version::Two, _) if !expected.tlvs.is_empty() => "v2 TLVs",
        (Version::Two, _) if expected.local => "v2 LOCAL",
        (Version::Two, Family::Unspecified) => "v2 UNSPEC",
        (Version::Two, Family::Inet) => "v2 INET",
        (Version::Two, Family::Inet6) => "v2 INET6",
        (Version::Two, Family::Unix) => "v2 UNIX",
    })
}

const NAMES: [&str; 11] = [
    "v1 TCP4",
    "v1 TCP6",
    "v1 UNKNOWN",
    "v2 LOCAL",
    "v2 UNSPEC",
    "v2 INET",
    "v2 INET6",
    "v2 UNIX",
    "v2 TLVs",
    "v2 SSL",
    "v2 CRC32C",
];

/// What the protocol is meant to stay within. Longer ones test limits, and one of them would outweigh a whole group.
const LONGEST: usize = 536;

const CRC32C: u8 = 0x03;
const SSL: u8 = 0x20;
