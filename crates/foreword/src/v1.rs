//! The text format, §2.1: one line, parsed in one pass and encoded.

use core::fmt::Write as _;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use crate::address::{Addresses, Command, Transport, Version, inet6};
use crate::error::{BuildError, Fault, Malformed};
use crate::header::{Header, Parse, Parser};
use crate::tlv::Tlvs;
use crate::writer::Writer;

pub(crate) const SIGNATURE: &[u8] = b"PROXY ";

/// The shortest line, `PROXY UNKNOWN` and its end.
pub(crate) const MIN_LEN: usize = 15;

/// The longest line, its end included, §2.1.
pub(crate) const MAX_LEN: usize = 107;

/// Parses the text format, §2.1.
pub(crate) fn parse<'a>(input: &'a [u8], parser: &Parser) -> Result<Parse<'a>, Malformed> {
    let mut line = Line {
        bytes: input.get(..MAX_LEN).unwrap_or(input),
        at: 0,
    };
    match line.addresses(parser.ipv4_in_tcp6) {
        Ok(addresses) => Ok(Parse::Complete {
            header: header(addresses),
            len: line.at,
        }),
        Err(Stop::Short { least }) if line.bytes.len() + least > MAX_LEN => Err(Malformed::new(
            MAX_LEN,
            Fault::LineTooLong { max: MAX_LEN },
            "R-V1-11",
        )),
        Err(Stop::Short { least }) => Ok(Parse::incomplete(input.len() + least, input)),
        Err(Stop::Malformed(malformed)) => Err(malformed),
    }
}

fn header(addresses: Addresses<'_>) -> Header<'_> {
    let transport = match addresses {
        Addresses::Unspecified => Transport::Unspecified,
        _ => Transport::Stream,
    };
    Header {
        version: Version::One,
        command: Command::Proxy,
        transport,
        addresses,
        tlvs: Tlvs::default(),
    }
}

/// Why parsing a line stops before its end.
enum Stop {
    /// The input ends here; a line that goes on has at least so many bytes more.
    Short { least: usize },
    /// The byte at the cursor cannot stand there.
    Malformed(Malformed),
}

/// A cursor over what there is of a line.
///
/// Each part of a line is told how many bytes follow it `after` its end at the least, so that whoever meets the end of
/// the input can say how much is still to come. The counts are exact: they are those of the shortest line that begins
/// like this.
struct Line<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Line<'_> {
    fn addresses(&mut self, ipv4_in_tcp6: bool) -> Result<Addresses<'static>, Stop> {
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
                self.space(after::TCP4_PROTOCOL)?;
                let source = self.ipv4(after::TCP4_SOURCE)?;
                self.space(after::TCP4_SOURCE)?;
                let destination = self.ipv4(after::DESTINATION)?;
                let (source_port, destination_port) = self.ports()?;
                Ok(Addresses::Inet {
                    source: SocketAddrV4::new(source, source_port),
                    destination: SocketAddrV4::new(destination, destination_port),
                })
            }
            b'6' => {
                self.at += 1;
                self.space(after::TCP6_PROTOCOL)?;
                let source = self.ipv6(after::TCP6_SOURCE, ipv4_in_tcp6)?;
                self.space(after::TCP6_SOURCE)?;
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
        self.space(after::DESTINATION)?;
        let source = self.port(after::SOURCE_PORT)?;
        self.space(after::SOURCE_PORT)?;
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
        match text.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            Some(end) => {
                self.at += end;
                self.line_end()
            }
            None => Err(Stop::Short { least: 2 }),
        }
    }

    fn ipv4(&mut self, after: usize) -> Result<Ipv4Addr, Stop> {
        let a = self.octet(after + 6)?;
        self.dot()?;
        let b = self.octet(after + 4)?;
        self.dot()?;
        let c = self.octet(after + 2)?;
        self.dot()?;
        let d = self.octet(after)?;
        Ok(Ipv4Addr::new(a, b, c, d))
    }

    fn octet(&mut self, after: usize) -> Result<u8, Stop> {
        self.number(after, "a number from 0 to 255", "R-V1-05")
    }

    fn port(&mut self, after: usize) -> Result<u16, Stop> {
        self.number(after, "a port from 0 to 65535", "R-V1-09")
    }

    /// A decimal number that fits its type, without leading zeros.
    #[inline]
    fn number<N>(
        &mut self,
        after: usize,
        expected: &'static str,
        requirement: &'static str,
    ) -> Result<N, Stop>
    where
        N: From<u8> + Into<u32> + TryFrom<u32> + Copy,
    {
        let mut number = match self.peek(after + 1)? {
            digit @ b'0'..=b'9' => N::from(digit - b'0'),
            _ => return self.unexpected(expected, requirement),
        };
        self.at += 1;
        while let digit @ b'0'..=b'9' = self.peek(after)? {
            let tens: u32 = number.into();
            if tens == 0 {
                return self.unexpected("a number without leading zeros", requirement);
            }
            let Ok(next) = N::try_from(tens * 10 + u32::from(digit - b'0')) else {
                return self.unexpected(expected, requirement);
            };
            number = next;
            self.at += 1;
        }
        Ok(number)
    }

    /// An IPv6 address: groups of hex digits, one `::`, or a dotted tail (R-V1-06, R-V1-07).
    fn ipv6(&mut self, after: usize, ipv4_in_tcp6: bool) -> Result<Ipv6Addr, Stop> {
        let mut groups = Groups::default();
        if self.peek(after + 2)? == b':' {
            self.at += 1;
            self.gap(&mut groups, after)?;
        }
        loop {
            let start = self.at;
            // Right after `::` the address may end, and after a single colon it may not.
            let gap_just_now = groups.gap == Some(groups.count);
            let mut group = 0;
            let mut byte = self.peek(if gap_just_now {
                after
            } else {
                after + groups.least(0)
            })?;
            while let Some(digit) = hex(byte) {
                if self.at - start == 4 || groups.are_full() {
                    return self.unexpected("an address of 128 bits", "R-V1-06");
                }
                group = group << 4 | digit;
                self.at += 1;
                byte = self.peek(after + groups.least(1))?;
            }
            match (byte, self.at - start) {
                (b'.', digits @ 1..=3) => {
                    self.dotted_tail(&mut groups, group, digits, after, ipv4_in_tcp6)?;
                    return Ok(groups.address());
                }
                (b':', 1..) => {
                    groups.push(group);
                    if groups.are_full() {
                        return self.unexpected("the end of the address", "R-V1-06");
                    }
                    self.at += 1;
                    if groups.gap.is_none() && self.peek(after + 1)? == b':' {
                        self.gap(&mut groups, after)?;
                    }
                }
                (_, 0) if gap_just_now => return Ok(groups.address()),
                (_, 1..) => {
                    groups.push(group);
                    if groups.gap.is_some() || groups.are_full() {
                        return Ok(groups.address());
                    }
                    return self.unexpected("an address of 128 bits", "R-V1-06");
                }
                _ => return self.unexpected("a group of hex digits", "R-V1-06"),
            }
        }
    }

    /// The second colon of `::`.
    fn gap(&mut self, groups: &mut Groups, after: usize) -> Result<(), Stop> {
        if self.peek(after + 1)? != b':' {
            return self.unexpected("`::` or a group of hex digits", "R-V1-06");
        }
        self.at += 1;
        groups.gap = Some(groups.count);
        Ok(())
    }

    /// The rest of a dotted tail, from its first dot on; what stands before it was read as the hex digits of `group`.
    #[cold]
    fn dotted_tail(
        &mut self,
        groups: &mut Groups,
        group: u16,
        digits: usize,
        after: usize,
        ipv4_in_tcp6: bool,
    ) -> Result<(), Stop> {
        let whole_address = groups.count == 0 && groups.gap.is_none();
        let at_the_end = if groups.gap.is_some() {
            groups.count <= 5
        } else {
            groups.count == 6
        };
        if whole_address && !ipv4_in_tcp6 {
            return self.unexpected("an IPv6 address", "R-V1-08");
        }
        let (Some(a), true) = (decimal(group, digits), at_the_end || whole_address) else {
            return self.unexpected("a group of hex digits", "R-V1-07");
        };
        self.dot()?;
        let b = self.octet(after + 4)?;
        self.dot()?;
        let c = self.octet(after + 2)?;
        self.dot()?;
        let d = self.octet(after)?;
        if whole_address {
            groups.count = 5;
            groups.push(0xffff);
        }
        groups.push(u16::from_be_bytes([a, b]));
        groups.push(u16::from_be_bytes([c, d]));
        Ok(())
    }

    /// Takes `literal`, as far as the input goes.
    fn literal(
        &mut self,
        literal: &[u8],
        after: usize,
        expected: &'static str,
        requirement: &'static str,
    ) -> Result<(), Stop> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(literal) {
            self.at += literal.len();
            return Ok(());
        }
        match rest
            .iter()
            .zip(literal)
            .position(|(found, expected)| found != expected)
        {
            Some(same) => {
                self.at += same;
                self.unexpected(expected, requirement)
            }
            None => Err(Stop::Short {
                least: literal.len() - rest.len() + after,
            }),
        }
    }

    /// Takes the one space between two fields, which with all that follows it takes `after` bytes.
    #[inline]
    fn space(&mut self, after: usize) -> Result<(), Stop> {
        match self.peek(after)? {
            b' ' => {
                self.at += 1;
                Ok(())
            }
            _ => self.unexpected("one space", "R-V1-03"),
        }
    }

    #[inline]
    fn dot(&mut self) -> Result<(), Stop> {
        // The number before has looked at this byte, so the input does not end here.
        match self.peek(1)? {
            b'.' => {
                self.at += 1;
                Ok(())
            }
            _ => self.unexpected("a dot", "R-V1-05"),
        }
    }

    fn line_end(&mut self) -> Result<(), Stop> {
        if self.peek(2)? != b'\r' {
            return self.unexpected("CRLF", "R-V1-03");
        }
        self.at += 1;
        if self.peek(1)? != b'\n' {
            return self.unexpected("LF after CR", "R-V1-10");
        }
        self.at += 1;
        Ok(())
    }

    /// The byte at the cursor, or how many there are at the `least` from here on.
    #[inline]
    fn peek(&self, least: usize) -> Result<u8, Stop> {
        self.bytes.get(self.at).copied().ok_or(Stop::Short { least })
    }

    /// Refuses the byte at the cursor. Some bytes break a rule of their own wherever they stand.
    #[cold]
    fn unexpected<T>(&self, expected: &'static str, requirement: &'static str) -> Result<T, Stop> {
        let found = self.bytes.get(self.at).copied().unwrap_or_default();
        let requirement = match found {
            _ if requirement == "R-V1-01" || requirement == "R-V1-02" => requirement,
            b'\n' => "R-V1-10",
            b'\r' if requirement != "R-V1-10" => "R-V1-04",
            b' ' | b'\t' => "R-V1-03",
            0..0x20 | 0x7f.. => "R-V1-17",
            _ => requirement,
        };
        Err(Stop::Malformed(Malformed::new(
            self.at,
            Fault::Byte { expected, found },
            requirement,
        )))
    }
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

/// The groups of an IPv6 address so far.
#[derive(Default)]
struct Groups {
    /// The groups behind the gap, or all of them.
    low: u128,
    /// The groups before the gap.
    high: u128,
    count: u32,
    /// How many groups stood before `::`.
    gap: Option<u32>,
}

impl Groups {
    fn push(&mut self, group: u16) {
        if self.gap == Some(self.count) {
            (self.high, self.low) = (self.low, 0);
        }
        self.low = self.low << 16 | u128::from(group);
        self.count += 1;
    }

    /// Whether there is no room for a further group. `::` stands for one at least.
    const fn are_full(&self) -> bool {
        self.count == if self.gap.is_some() { 7 } else { 8 }
    }

    /// How many bytes the address has still to come at the least, with `begun` groups more than were pushed.
    const fn least(&self, begun: u32) -> usize {
        match (self.gap, begun) {
            (Some(_), 0) | (None, 0) => 1,
            (Some(_), _) => 0,
            (None, _) if self.count + begun == 8 => 0,
            (None, _) => 2,
        }
    }

    fn address(&self) -> Ipv6Addr {
        let bits = match self.gap {
            None => self.low,
            Some(before) if before == self.count => shift(self.low, 8 - before),
            Some(before) => shift(self.high, 8 - before) | self.low,
        };
        Ipv6Addr::from(bits)
    }
}

/// Moves groups up by so many others.
fn shift(groups: u128, by: u32) -> u128 {
    groups.checked_shl(16 * by).unwrap_or(0)
}

#[inline]
const fn hex(byte: u8) -> Option<u16> {
    Some(match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => return None,
    } as u16)
}

/// What `digits` digits mean in decimal that were read as hex, if they are an octet without leading zeros.
fn decimal(hex: u16, digits: usize) -> Option<u8> {
    let [hundreds, tens, ones] = [hex >> 8 & 0xf, hex >> 4 & 0xf, hex & 0xf];
    let leading_zero = match digits {
        1 => false,
        2 => tens == 0,
        _ => hundreds == 0,
    };
    if leading_zero || hundreds > 9 || tens > 9 || ones > 9 {
        return None;
    }
    u8::try_from(hundreds * 100 + tens * 10 + ones).ok()
}

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
    matches!(
        (addresses, transport),
        (
            Addresses::Inet { .. } | Addresses::Inet6 { .. },
            Transport::Stream
        )
    )
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
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::{String, ToString};

    fn source_of(line: &str, parser: &Parser) -> Option<Ipv6Addr> {
        match parser.parse(line.as_bytes()) {
            Ok(Parse::Complete {
                header:
                    Header {
                        addresses: Addresses::Inet6 { source, .. },
                        ..
                    },
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
        assert_eq!(
            source_of(&line, &lenient),
            Some(Ipv4Addr::new(192, 0, 2, 10).to_ipv6_mapped())
        );
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
            assert!(
                matches!(Header::parse(whole.as_bytes()), Ok(Parse::Complete { .. })),
                "{whole:?}"
            );
        }
    }

    #[test]
    fn a_line_is_too_long_as_soon_as_its_shortest_end_does_not_fit() {
        let unknown = format!("PROXY UNKNOWN {}", "x".repeat(91));
        assert_eq!(unknown.len(), 105);
        assert!(matches!(
            Header::parse(unknown.as_bytes()),
            Ok(Parse::Incomplete { .. })
        ));
        let malformed = Header::parse(format!("{unknown}x").as_bytes()).unwrap_err();
        assert_eq!(malformed.requirement(), "R-V1-11");
        // A byte that would be wrong in its own right stands too late to be looked at.
        assert_eq!(
            Header::parse(format!("{unknown}x\n").as_bytes()).unwrap_err(),
            malformed
        );
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
