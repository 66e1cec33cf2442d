//! A header for people: its bytes in hex, its parts one by one, and what it says in a few lines.

use std::fmt::Write as _;

use foreword::{Addresses, Command, Header, Parse, RawTlv, Tlv, Tlvs, Transport, Version, kind};

use crate::args::hex;

/// A run of a header's bytes, and what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) at: usize,
    pub(crate) len: usize,
    pub(crate) meaning: String,
}

/// Sixteen bytes a line: where they are, in hex, and as far as they are text.
pub(crate) fn hex_lines(bytes: &[u8]) -> Vec<String> {
    bytes
        .chunks(PER_LINE)
        .enumerate()
        .map(|(index, row)| {
            let digits: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
            let text: String = row
                .iter()
                .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' })
                .collect();
            format!("{:04x}  {:<47}  {text}", index * PER_LINE, digits.join(" "))
        })
        .collect()
}

/// What a header says, in a few lines; nothing if the bytes are none.
pub(crate) fn summary(bytes: &[u8]) -> Vec<String> {
    let Ok(Parse::Complete { header, .. }) = Header::parse(bytes) else { return Vec::new() };
    let mut lines = vec![format!("{} {}", header.version, kind_of(&header))];
    match header.addresses {
        Addresses::Unspecified => {}
        Addresses::Inet { source, destination } => {
            lines.push(format!("source {source}, destination {destination}"))
        }
        Addresses::Inet6 { source, destination } => {
            lines.push(format!("source {source}, destination {destination}"))
        }
        Addresses::Unix { source, destination } => {
            lines.push(format!("source unix:{source}, destination unix:{destination}"))
        }
    }
    lines.extend(header.tlvs.raw().map(|tlv| format!("TLV {}: {}", tlv_name(tlv.kind), tlv_value(&tlv))));
    lines
}

/// Command, transport and family, as a header says them together.
pub(crate) fn kind_of(header: &Header<'_>) -> String {
    let family = match header.addresses {
        _ if header.command == Command::Local => return "LOCAL: the sender speaks for itself".to_owned(),
        Addresses::Unspecified => return "PROXY, for a client that is not named".to_owned(),
        Addresses::Inet { .. } => "IPv4",
        Addresses::Inet6 { .. } => "IPv6",
        Addresses::Unix { .. } => "a unix socket",
    };
    let transport = match (header.transport, header.addresses) {
        (Transport::Datagram, Addresses::Unix { .. }) => "datagrams",
        (Transport::Datagram, _) => "UDP",
        (_, Addresses::Unix { .. }) => "a stream",
        _ => "TCP",
    };
    format!("PROXY, {transport} over {family}")
}

/// The parts of a whole header, in order and without a gap.
pub(crate) fn parts(header: &Header<'_>, bytes: &[u8]) -> Vec<Part> {
    match header.version {
        Version::One => line_parts(header, bytes),
        Version::Two => binary_parts(header, bytes),
    }
}

/// Takes parts off the front of a header.
struct Cutter {
    at: usize,
    parts: Vec<Part>,
}

impl Cutter {
    fn cut(&mut self, len: usize, meaning: impl Into<String>) {
        if len > 0 {
            self.parts.push(Part { at: self.at, len, meaning: meaning.into() });
            self.at += len;
        }
    }
}

fn line_parts(header: &Header<'_>, bytes: &[u8]) -> Vec<Part> {
    let mut cutter = Cutter { at: 0, parts: Vec::new() };
    cutter.cut(6, "v1: `PROXY` and a space");
    let line = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
    if header.is_unknown() {
        let rest = line.len().saturating_sub(cutter.at);
        let unknown = rest.min(b"UNKNOWN".len());
        cutter.cut(unknown, "the client is not named");
        cutter.cut(rest - unknown, "text that is not read, §2.1");
    } else {
        let meanings =
            ["protocol", "source address", "destination address", "source port", "destination port"];
        let words = line.get(cutter.at..).unwrap_or_default().split(|byte| *byte == b' ');
        for (word, meaning) in words.zip(meanings) {
            let text = word.escape_ascii();
            // The space behind a word belongs to it; the last one has none.
            let len = (word.len() + 1).min(line.len().saturating_sub(cutter.at));
            cutter.cut(len, format!("{meaning}: {text}"));
        }
    }
    cutter.cut(bytes.len().saturating_sub(cutter.at), "CR LF: the end of the line");
    cutter.parts
}

fn binary_parts(header: &Header<'_>, bytes: &[u8]) -> Vec<Part> {
    let mut cutter = Cutter { at: 0, parts: Vec::new() };
    let command = if header.command == Command::Local { "LOCAL" } else { "PROXY" };
    cutter.cut(12, "v2: signature");
    cutter.cut(1, format!("version 2, command {command}"));
    cutter.cut(1, family_byte(header, bytes.get(13).copied().unwrap_or_default()));
    cutter.cut(2, format!("{} bytes follow", bytes.len().saturating_sub(16)));
    match header.addresses {
        Addresses::Unspecified => {
            let skipped = bytes.len().saturating_sub(16 + header.tlvs.as_bytes().len());
            cutter.cut(skipped, "addresses that are not read, §2.2");
        }
        Addresses::Inet { source, destination } => {
            cutter.cut(4, format!("source address: {}", source.ip()));
            cutter.cut(4, format!("destination address: {}", destination.ip()));
            cutter.cut(2, format!("source port: {}", source.port()));
            cutter.cut(2, format!("destination port: {}", destination.port()));
        }
        Addresses::Inet6 { source, destination } => {
            cutter.cut(16, format!("source address: {}", source.ip()));
            cutter.cut(16, format!("destination address: {}", destination.ip()));
            cutter.cut(2, format!("source port: {}", source.port()));
            cutter.cut(2, format!("destination port: {}", destination.port()));
        }
        Addresses::Unix { source, destination } => {
            cutter.cut(108, format!("source path: {source}"));
            cutter.cut(108, format!("destination path: {destination}"));
        }
    }
    tlv_parts(header.tlvs, &mut cutter);
    // Under LOCAL, and where TLVs are not sound there, the rest is passed over by its length.
    cutter.cut(bytes.len().saturating_sub(cutter.at), "bytes that are not read, §2.2");
    cutter.parts
}

fn family_byte(header: &Header<'_>, byte: u8) -> String {
    let family = match byte >> 4 {
        0 => "unspecified family",
        1 => "IPv4",
        2 => "IPv6",
        3 => "unix",
        _ => "a family that nobody assigned",
    };
    let transport = match byte & 0x0f {
        0 => "unspecified transport",
        1 => "stream",
        2 => "datagram",
        _ => "a transport that nobody assigned",
    };
    let ignored = if header.command == Command::Local { "; not looked at under LOCAL" } else { "" };
    format!("{family}, {transport}{ignored}")
}

fn tlv_parts(tlvs: Tlvs<'_>, cutter: &mut Cutter) {
    for tlv in tlvs.raw() {
        cutter.cut(3, format!("TLV {} of {} bytes", tlv_name(tlv.kind), tlv.value.len()));
        match Tlv::new(tlv.kind, tlv.value) {
            Tlv::Ssl(ssl) => {
                cutter.cut(1, format!("  client: {}", client_flags(ssl.client())));
                let verified = if ssl.client_verified() {
                    "the client's certificate is verified"
                } else {
                    "no verified client certificate"
                };
                cutter.cut(4, format!("  verify: {}; {verified}", ssl.verify()));
                for inner in ssl.tlvs() {
                    cutter.cut(3, format!("  TLV {} of {} bytes", ssl_name(inner.kind), inner.value.len()));
                    cutter.cut(inner.value.len(), format!("    {}", text_or_hex(inner.value)));
                }
            }
            _ => cutter.cut(tlv.value.len(), format!("  {}", tlv_value(&tlv))),
        }
    }
}

fn client_flags(flags: u8) -> String {
    let names =
        [(0x01, "TLS"), (0x02, "certificate on this connection"), (0x04, "certificate in this session")];
    let set: Vec<&str> = names.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { "none".to_owned() } else { set.join(", ") }
}

/// The name that a kind has, and its number.
pub(crate) fn tlv_name(kind: u8) -> String {
    let name = match kind {
        kind::ALPN => "ALPN",
        kind::AUTHORITY => "AUTHORITY",
        kind::CHECKSUM => "CRC32C",
        kind::NOOP => "NOOP",
        kind::UNIQUE_ID => "UNIQUE_ID",
        kind::SSL => "SSL",
        kind::NETNS => "NETNS",
        kind::GCP => "GCP",
        kind::ALIBABA => "ALIBABA",
        kind::AWS => "AWS",
        kind::AZURE => "AZURE",
        0xe2..=0xe9 | 0xeb..=0xed | 0xef => "for applications",
        0xf0..=0xf7 => "for experiments",
        0xf8..=0xff => "reserved for the future",
        _ => "that nobody assigned",
    };
    format!("0x{kind:02x} {name}")
}

/// §2.2.6; these kinds mean something inside SSL only.
fn ssl_name(kind: u8) -> String {
    let name = match kind {
        0x21 => "VERSION",
        0x22 => "CN",
        0x23 => "CIPHER",
        0x24 => "SIG_ALG",
        0x25 => "KEY_ALG",
        0x26 => "GROUP",
        0x27 => "SIG_SCHEME",
        0x28 => "CLIENT_CERT",
        _ => "that nobody assigned",
    };
    format!("0x{kind:02x} {name}")
}

/// What a value says, by its kind. What vendors put into theirs is shown as theirs where it has their shape.
fn tlv_value(tlv: &RawTlv<'_>) -> String {
    let plain = || text_or_hex(tlv.value);
    match (tlv.kind, tlv.value) {
        (kind::CHECKSUM, [a, b, c, d]) => format!("0x{a:02x}{b:02x}{c:02x}{d:02x}, as it should be"),
        (kind::GCP, [_, _, _, _, _, _, _, _]) => {
            let id = tlv.value.iter().fold(0_u64, |id, byte| id << 8 | u64::from(*byte));
            format!("Private Service Connect id {id}")
        }
        (kind::AWS, [1, id @ ..]) => format!("VPC endpoint {}", text_or_hex(id)),
        (kind::AZURE, [1, a, b, c, d]) => {
            format!("private endpoint link id {}", u32::from_le_bytes([*a, *b, *c, *d]))
        }
        (kind::ALIBABA, [1, id @ ..]) => format!("VPC {}", text_or_hex(id)),
        (kind::ALIBABA, [2, id @ ..]) => format!("endpoint {}", text_or_hex(id)),
        (kind::ALIBABA, [3, id @ ..]) => format!("endpoint service {}", text_or_hex(id)),
        (kind::SSL, _) => match Tlv::new(tlv.kind, tlv.value) {
            Tlv::Ssl(ssl) => ssl_words(&ssl),
            _ => plain(),
        },
        _ => plain(),
    }
}

fn ssl_words(ssl: &foreword::Ssl<'_>) -> String {
    let mut text = format!("client {}; verify {}", client_flags(ssl.client()), ssl.verify());
    for inner in ssl.tlvs() {
        // Writing to a String cannot fail.
        let _ = write!(text, "; {} {}", ssl_name(inner.kind), text_or_hex(inner.value));
    }
    text
}

/// Text in quotes if it is text that a terminal can show, else hex.
pub(crate) fn text_or_hex(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && !text.chars().any(char::is_control) => format!("`{text}`"),
        _ if bytes.is_empty() => "nothing".to_owned(),
        _ => format!("hex:{}", hex::text(bytes)),
    }
}

/// How many bytes a line of hex shows.
pub(crate) const PER_LINE: usize = 16;

#[cfg(test)]
mod tests {
    use foreword::Builder;

    use super::*;

    fn whole(bytes: &[u8]) -> Header<'_> {
        match Header::parse(bytes) {
            Ok(Parse::Complete { header, .. }) => header,
            other => panic!("expected a header, found {other:?}"),
        }
    }

    fn assert_no_gaps(bytes: &[u8]) {
        let mut at = 0;
        for part in parts(&whole(bytes), bytes) {
            assert_eq!(part.at, at, "{part:?}");
            at += part.len;
        }
        assert_eq!(at, bytes.len());
    }

    #[test]
    fn the_parts_of_a_header_leave_no_byte_out() {
        let addresses = Addresses::Unix { source: Default::default(), destination: Default::default() };
        let ssl = b"\x01\0\0\0\x01\x21\0\x07TLSv1.3";
        let full = Builder::v2()
            .addresses(addresses)
            .raw_tlv(0x20, ssl)
            .raw_tlv(0xEE, b"\x01\0\0\0\x07")
            .checksum(true);
        assert_no_gaps(&full.build().expect("a header"));
        assert_no_gaps(b"\r\n\r\n\0\r\nQUIT\n\x20\x11\0\x0cadressbytes!");
        assert_no_gaps(b"\r\n\r\n\0\r\nQUIT\n\x21\x00\0\0");
        assert_no_gaps(b"PROXY TCP6 ::1 ::ffff:1.2.3.4 1 65535\r\n");
        assert_no_gaps(b"PROXY UNKNOWN\r\n");
        assert_no_gaps(b"PROXY UNKNOWN what ever\r\n");
    }

    #[test]
    fn a_header_is_told_in_a_few_lines() {
        let line = b"PROXY TCP4 192.0.2.10 198.51.100.20 56324 443\r\n";
        assert_eq!(
            summary(line),
            ["v1 PROXY, TCP over IPv4", "source 192.0.2.10:56324, destination 198.51.100.20:443"]
        );
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_in_hex() {
        assert_eq!(text_or_hex(b"a\x1b[31m"), "hex:611b5b33316d");
        assert_eq!(text_or_hex("ü".as_bytes()), "`ü`");
    }
}
