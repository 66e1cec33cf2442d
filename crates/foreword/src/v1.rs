//! The text format, §2.1: one line, parsed in one pass and encoded.

mod address;
mod line;

use core::fmt::Write as _;
use core::net::{Ipv6Addr, SocketAddrV4};

use crate::address::{Addresses, Command, Transport, Version, inet6};
use crate::error::{BuildError, Fault, Malformed};
use crate::header::{Header, Parse, Parser};
use crate::tlv::Tlvs;
use crate::writer::Writer;

use line::{Line, Stop};

pub(crate) const SIGNATURE: &[u8] = b"PROXY ";

const SHORTEST: &[u8; MIN_LEN] = b"PROXY UNKNOWN\r\n";

/// The length of the shortest line.
pub(crate) const MIN_LEN: usize = 15;

/// The longest line, its end included, §2.1.
pub(crate) const MAX_LEN: usize = 107;

/// Parses the text format, §2.1.
pub(crate) fn parse<'a>(input: &'a [u8], parser: &Parser) -> Result<Parse<'a>, Malformed> {
    let mut line = Line { bytes: input.get(..MAX_LEN).unwrap_or(input), at: 0 };
    match line.addresses(parser.ipv4_in_tcp6) {
        Ok(addresses) => Ok(Parse::Complete { header: header(addresses), len: line.at }),
        Err(Stop::Short { least }) if line.bytes.len() + least > MAX_LEN => Err(too_long()),
        Err(Stop::Short { least }) => Ok(Parse::incomplete(input.len() + least, input)),
        Err(Stop::Malformed(malformed)) => Err(first_fault(malformed, input, parser)),
    }
}

/// What comes before a wrong byte may have been too long already; whoever reads byte by byte was told that.
#[cold]
fn first_fault(malformed: Malformed, input: &[u8], parser: &Parser) -> Malformed {
    let bytes = input.get(..malformed.offset()).unwrap_or(input);
    match (Line { bytes, at: 0 }).addresses(parser.ipv4_in_tcp6) {
        Err(Stop::Short { least }) if bytes.len() + least > MAX_LEN => too_long(),
        _ => malformed,
    }
}

fn too_long() -> Malformed {
    Malformed::new(MAX_LEN, Fault::LineTooLong { max: MAX_LEN }, "R-V1-11")
}

fn header(addresses: Addresses<'_>) -> Header<'_> {
    let transport = match addresses {
        Addresses::Unspecified => Transport::Unspecified,
        _ => Transport::Stream,
    };
    Header { version: Version::One, command: Command::Proxy, transport, addresses, tlvs: Tlvs::default() }
}

impl Line<'_> {
    fn addresses(&mut self, ipv4_in_tcp6: bool) -> Result<Addresses<'static>, Stop> {
        if self.bytes.starts_with(SHORTEST) {
            self.at = SHORTEST.len();
            return Ok(Addresses::Unspecified);
        }
        self.literal(SIGNATURE, MIN_LEN - SIGNATURE.len(), "`PROXY `", "R-V1-01")?;
        if self.peek(MIN_LEN - SIGNATURE.len())? == b'U' {
            self.literal(b"UNKNOWN", 2, PROTOCOLS, "R-V1-02")?;
            self.unknown()?;
            return Ok(Addresses::Unspecified);
        }
        self.literal(b"TCP", after::TCP6_PROTOCOL + 1, PROTOCOLS, "R-V1-02")?;
        match self.peek(after::TCP6_PROTOCOL + 1)? {
            b'4' => {
                self.at += 1;
                self.space(after::TCP4_PROTOCOL, "R-V1-02")?;
                let source = self.ipv4(after::TCP4_SOURCE)?;
                self.space(after::TCP4_SOURCE, "R-V1-05")?;
                let destination = self.ipv4(after::DESTINATION)?;
                let (source_port, destination_port) = self.ports()?;
                Ok(Addresses::Inet {
                    source: SocketAddrV4::new(source, source_port),
                    destination: SocketAddrV4::new(destination, destination_port),
                })
            }
            b'6' => {
                self.at += 1;
                self.space(after::TCP6_PROTOCOL, "R-V1-02")?;
                let source = self.ipv6(after::TCP6_SOURCE, ipv4_in_tcp6)?;
                self.space(after::TCP6_SOURCE, "R-V1-06")?;
                let destination = self.ipv6(after::DESTINATION, ipv4_in_tcp6)?;
                let (source_port, destination_port) = self.ports()?;
                Ok(Addresses::Inet6 {
                    source: inet6(source, source_port),
                    destination: inet6(destination, destination_port),
                })
            }
            _ => self.unexpected(PROTOCOLS, "R-V1-02"),
        }
    }

    /// What follows the destination: two ports and the end of the line.
    fn ports(&mut self) -> Result<(u16, u16), Stop> {
        self.space(after::DESTINATION, "R-V1-04")?;
        let source = self.port(after::SOURCE_PORT)?;
        self.space(after::SOURCE_PORT, "R-V1-09")?;
        let destination = self.port(after::DESTINATION_PORT)?;
        self.line_end()?;
        Ok((source, destination))
    }

    /// What follows `UNKNOWN`: the end of the line, or a space and any text without CR or LF, to be ignored.
    fn unknown(&mut self) -> Result<(), Stop> {
        match self.peek(2)? {
            b'\r' => return self.line_end(),
            b' ' => self.at += 1,
            _ => return self.unexpected("a space or CRLF", "R-V1-02"),
        }
        // The CR of the longest line stands at the last place but one: past it nothing is looked for.
        let text = self.bytes.get(self.at..).unwrap_or_default();
        let text = text.get(..MAX_LEN - 1 - self.at).unwrap_or(text);
        match line_break(text) {
            Some(end) => {
                self.at += end;
                self.line_end()
            }
            None => Err(Stop::Short { least: 2 }),
        }
    }
}

/// Where the first CR or LF stands. Eight bytes at a time, as long as there is neither among them.
fn line_break(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // The lowest byte that is zero is found for certain, others may seem to be: there is one or there is none.
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH != 0;
    let has = |word: u64, byte: u8| has_zero(word ^ ONES.wrapping_mul(byte.into()));
    let mut rest = text;
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        let word = u64::from_ne_bytes(*chunk);
        if has(word, b'\r') || has(word, b'\n') {
            break;
        }
        rest = behind;
    }
    let clean = text.len() - rest.len();
    rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).map(|place| clean + place)
}

/// How many bytes follow a part of a line at the least: `0.0.0.0` and `::` are the shortest addresses, `0` is the
/// shortest port.
mod after {
    pub(super) const DESTINATION_PORT: usize = "\r\n".len();
    pub(super) const SOURCE_PORT: usize = " 0\r\n".len();
    pub(super) const DESTINATION: usize = " 0 0\r\n".len();
    pub(super) const TCP4_SOURCE: usize = " 0.0.0.0 0 0\r\n".len();
    pub(super) const TCP6_SOURCE: usize = " :: 0 0\r\n".len();
    pub(super) const TCP4_PROTOCOL: usize = " 0.0.0.0 0.0.0.0 0 0\r\n".len();
    pub(super) const TCP6_PROTOCOL: usize = " :: :: 0 0\r\n".len();
}

const PROTOCOLS: &str = "`TCP4`, `TCP6` or `UNKNOWN`";

/// Encodes the text format, §2.1. What it cannot say is `UNKNOWN` (R-SEND-05).
pub(crate) fn encode(
    addresses: &Addresses<'_>,
    transport: Transport,
    writer: &mut Writer<'_>,
) -> Result<(), BuildError> {
    let written = match (addresses, transport) {
        (Addresses::Inet { source, destination }, Transport::Stream) => write!(
            writer,
            "PROXY TCP4 {} {} {} {}\r\n",
            source.ip(),
            destination.ip(),
            source.port(),
            destination.port()
        ),
        (Addresses::Inet6 { source, destination }, Transport::Stream) => write!(
            writer,
            "PROXY TCP6 {} {} {} {}\r\n",
            Hex(*source.ip()),
            Hex(*destination.ip()),
            source.port(),
            destination.port()
        ),
        _ => writer.write_str("PROXY UNKNOWN\r\n"),
    };
    written.map_err(|_| BuildError::NoRoom)
}

/// Whether the text format can name these.
#[cfg(feature = "alloc")]
pub(crate) const fn can_say(addresses: &Addresses<'_>, transport: Transport) -> bool {
    matches!((addresses, transport), (Addresses::Inet { .. } | Addresses::Inet6 { .. }, Transport::Stream))
}

/// An IPv6 address without a dotted tail, which the grammar does not have (R-SEND-04).
struct Hex(Ipv6Addr);

impl core::fmt::Display for Hex {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0.segments() {
            [0, 0, 0, 0, 0, 0xffff, high, low] => write!(f, "::ffff:{high:x}:{low:x}"),
            _ => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::{String, ToString};

    fn source_of(line: &str, parser: &Parser) -> Option<Ipv6Addr> {
        match parser.parse(line.as_bytes()) {
            Ok(Parse::Complete {
                header: Header { addresses: Addresses::Inet6 { source, .. }, .. },
                len,
            }) => {
                assert_eq!(len, line.len());
                Some(*source.ip())
            }
            Ok(other) => panic!("{line:?} is whole, yet {other:?}"),
            Err(_) => None,
        }
    }

    fn tcp6(source: &str) -> String {
        format!("PROXY TCP6 {source} :: 1 2\r\n")
    }

    proptest! {
        #[test]
        fn an_ipv6_address_is_read_as_the_standard_library_reads_it(source in "[0-9a-fA-F:.]{1,40}") {
            let expected = source.parse::<Ipv6Addr>().ok();
            prop_assert_eq!(source_of(&tcp6(&source), &Parser::new()), expected);
        }

        #[test]
        fn an_ipv6_address_in_any_spelling_is_read(bits in any::<u128>(), mask in any::<u8>(), form in 0..3) {
            let mut groups = Ipv6Addr::from(bits).segments();
            for (group, at) in groups.iter_mut().zip(0..8) {
                *group *= u16::from(mask >> at & 1);
            }
            let ip = Ipv6Addr::from(groups);
            let spelling = match form {
                0 => ip.to_string(),
                1 => groups.map(|group| format!("{group:04X}")).join(":"),
                _ => {
                    let [.., a, b] = groups;
                    let tail = Ipv4Addr::from(u32::from(a) << 16 | u32::from(b));
                    let head: [String; 6] = core::array::from_fn(|at| format!("{:x}", groups[at]));
                    format!("{}:{tail}", head.join(":"))
                }
            };
            prop_assert_eq!(source_of(&tcp6(&spelling), &Parser::new()), Some(ip));
        }

        #[test]
        fn an_ipv4_address_is_read_as_the_standard_library_reads_it(source in "[0-9.]{6,16}") {
            let line = format!("PROXY TCP4 {source} 0.0.0.0 1 2\r\n");
            let expected = source.parse::<Ipv4Addr>().ok();
            let found = match Header::parse(line.as_bytes()) {
                Ok(Parse::Complete { header: Header { addresses: Addresses::Inet { source, .. }, .. }, .. }) => {
                    Some(*source.ip())
                }
                Ok(other) => panic!("{line:?} is whole, yet {other:?}"),
                Err(_) => None,
            };
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn an_ipv4_address_in_a_tcp6_line_is_read_as_mapped_where_the_switch_says_so() {
        let lenient = Parser::new().ipv4_in_tcp6(true);
        let line = tcp6("192.0.2.10");
        assert_eq!(source_of(&line, &lenient), Some(Ipv4Addr::new(192, 0, 2, 10).to_ipv6_mapped()));
        assert_eq!(source_of(&tcp6("192.0.02.10"), &lenient), None);
        assert_eq!(source_of(&tcp6("256.0.2.10"), &lenient), None);
        let malformed = Parser::new().parse(line.as_bytes()).unwrap_err();
        assert_eq!((malformed.offset(), malformed.requirement()), (14, "R-V1-08"));
    }

    #[test]
    fn what_is_needed_is_the_rest_of_the_shortest_line_that_begins_so() {
        for (begun, rest) in [
            ("", "PROXY UNKNOWN\r\n"),
            ("PRO", "XY UNKNOWN\r\n"),
            ("PROXY ", "UNKNOWN\r\n"),
            ("PROXY T", "CP6 :: :: 0 0\r\n"),
            ("PROXY TCP", "6 :: :: 0 0\r\n"),
            ("PROXY TCP4", " 0.0.0.0 0.0.0.0 0 0\r\n"),
            ("PROXY TCP4 ", "0.0.0.0 0.0.0.0 0 0\r\n"),
            ("PROXY TCP4 1", ".0.0.0 0.0.0.0 0 0\r\n"),
            ("PROXY TCP4 1.2.", "0.0 0.0.0.0 0 0\r\n"),
            ("PROXY TCP4 1.2.3.4 5.6.7.8", " 0 0\r\n"),
            ("PROXY TCP6 ", ":: :: 0 0\r\n"),
            ("PROXY TCP6 :", ": :: 0 0\r\n"),
            ("PROXY TCP6 ::", " :: 0 0\r\n"),
            ("PROXY TCP6 1", ":: :: 0 0\r\n"),
            ("PROXY TCP6 1:", ": :: 0 0\r\n"),
            ("PROXY TCP6 ::1:", "0 :: 0 0\r\n"),
            ("PROXY TCP6 1:2:3:4:5:6:7", ":: :: 0 0\r\n"),
            ("PROXY TCP6 1:2:3:4:5:6:7:", ": :: 0 0\r\n"),
            ("PROXY TCP6 1:2:3:4:5:6:7:8", " :: 0 0\r\n"),
            ("PROXY TCP6 ::1.2", ".0.0 :: 0 0\r\n"),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 ", "0\r\n"),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r", "\n"),
            ("PROXY UNKNOWN", "\r\n"),
            ("PROXY UNKNOWN any text", "\r\n"),
        ] {
            let Ok(Parse::Incomplete { needed }) = Header::parse(begun.as_bytes()) else {
                panic!("{begun:?} is the beginning of a line");
            };
            assert_eq!(needed.get(), rest.len(), "after {begun:?}");
            let whole = format!("{begun}{rest}");
            assert!(matches!(Header::parse(whole.as_bytes()), Ok(Parse::Complete { .. })), "{whole:?}");
        }
    }

    #[test]
    fn a_line_is_too_long_as_soon_as_its_shortest_end_does_not_fit() {
        let unknown = format!("PROXY UNKNOWN {}", "x".repeat(91));
        assert_eq!(unknown.len(), 105);
        assert!(matches!(Header::parse(unknown.as_bytes()), Ok(Parse::Incomplete { .. })));
        let malformed = Header::parse(format!("{unknown}x").as_bytes()).unwrap_err();
        assert_eq!(malformed.requirement(), "R-V1-11");
        // A byte that would be wrong in its own right stands too late to be looked at.
        assert_eq!(Header::parse(format!("{unknown}x\n").as_bytes()).unwrap_err(), malformed);
        let address = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255";
        for end in ["", "0", "x"] {
            let line = format!("PROXY TCP6 {address} {address} {end}");
            assert_eq!(Header::parse(line.as_bytes()).unwrap_err(), malformed);
        }
    }

    #[test]
    fn a_line_never_has_a_dotted_tail() {
        let mapped = Addresses::Inet6 {
            source: inet6(Ipv4Addr::new(1, 2, 3, 4).to_ipv6_mapped(), 1),
            destination: inet6(Ipv6Addr::from_bits(1), 2),
        };
        let mut buffer = [0; MAX_LEN];
        let mut writer = Writer::new(&mut buffer);
        encode(&mapped, Transport::Stream, &mut writer).unwrap();
        assert_eq!(writer.written(), b"PROXY TCP6 ::ffff:102:304 ::1 1 2\r\n");
    }
}
