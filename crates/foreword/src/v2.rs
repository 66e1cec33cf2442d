//! The binary format, §2.2: sixteen bytes, the addresses, TLVs.

use crate::address::{Addresses, Command, Family, Transport, Version, block_len as least_len};
use crate::checksum;
use crate::error::{BuildError, Fault, Field, Malformed};
use crate::header::{Header, Parse, Parser};
use crate::reader::Reader;
use crate::tlv::{RawTlvs, Sum, Tlvs, kind};
use crate::writer::Writer;

pub(crate) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, length.
pub(crate) const FIXED_LEN: usize = 16;

/// Parses the binary format, §2.2.
pub(crate) fn parse<'a>(input: &'a [u8], parser: &Parser) -> Result<Parse<'a>, Malformed> {
    let Some((fixed, rest)) = input.split_first_chunk::<FIXED_LEN>() else {
        return begun(input, parser);
    };
    check_signature(fixed)?;
    let &[.., version_command, family_transport, high, low] = fixed;
    // A health check, most often: there is no more to it.
    let nobody = match fixed {
        [.., LOCAL, _, 0, 0] => Some(Command::Local),
        [.., PROXY, 0, 0, 0] => Some(Command::Proxy),
        _ => None,
    };
    if let Some(command) = nobody.filter(|_| !parser.require_checksum) {
        return Ok(Parse::Complete { header: Header::of_nobody(command), len: FIXED_LEN });
    }
    let command = command(version_command)?;
    // Under LOCAL the family byte is not looked at; under PROXY it is settled before the block is waited for.
    let kind = match command {
        Command::Local => Kind::UNSPECIFIED,
        Command::Proxy => kind_of(family_transport)?,
    };
    let block_len = usize::from(u16::from_be_bytes([high, low]));
    let len = check_len(block_len, kind, parser)?;
    let Some(block) = rest.get(..block_len) else {
        return Ok(Parse::incomplete(len, input));
    };

    let mut block = Reader::new(block, FIXED_LEN);
    let mut addresses = block.sub(least_len(kind.family), Field::AddressBlock)?;
    let (tlvs, checksum) = match block.is_empty() {
        true => (&[][..], None),
        // Where no addresses are given, TLVs begin at a certain place only if nothing was announced at all.
        false => sound_tlvs(block, kind.family == Family::Unspecified, family_transport != 0, parser)?,
    };
    match checksum {
        Some(Sum { at, sum }) => check_checksum(input.get(..len).unwrap_or(input), at, sum)?,
        None if parser.require_checksum => {
            return Err(Malformed::new(len, Fault::ChecksumMissing, "R-TLV-05"));
        }
        None => {}
    }
    let header = Header {
        version: Version::Two,
        command,
        transport: kind.transport,
        // The last to be read, so that they are written where they stay.
        addresses: Addresses::read(kind.family, &mut addresses)?,
        tlvs: Tlvs::of_checked(tlvs),
    };
    Ok(Parse::Complete { header, len })
}

/// The TLVs of a header, none where they are not to be looked at; and its checksum: where it stands, and what it is.
#[inline]
fn sound_tlvs<'a>(
    block: Reader<'a>,
    unspecified: bool,
    announced: bool,
    parser: &Parser,
) -> Result<(&'a [u8], Option<Sum>), Malformed> {
    match Tlvs::check(block, parser) {
        _ if unspecified && announced => Ok((&[], None)),
        Ok(checksum) => Ok((block.rest(), checksum)),
        // Without addresses the block may hold something else.
        Err(_) if unspecified || !Tlvs::are_to_be_read(block, parser) => Ok((&[], None)),
        Err(malformed) => Err(malformed),
    }
}

/// The length that the fixed part gives the whole header.
pub(crate) fn announced_len(input: &[u8]) -> Option<usize> {
    let &[.., high, low] = input.first_chunk::<FIXED_LEN>()?;
    Some(FIXED_LEN + usize::from(u16::from_be_bytes([high, low])))
}

/// Judges what there is of the first sixteen bytes.
#[cold]
fn begun<'a>(input: &'a [u8], parser: &Parser) -> Result<Parse<'a>, Malformed> {
    check_signature(input)?;
    let mut least = FIXED_LEN;
    if let Some(&byte) = input.get(SIGNATURE.len()) {
        let command = command(byte)?;
        if let (Command::Proxy, Some(&byte)) = (command, input.get(SIGNATURE.len() + 1)) {
            least += least_len(kind_of(byte)?.family);
        }
    }
    if let Some(&high) = input.get(SIGNATURE.len() + 2) {
        check_limit(usize::from(u16::from_be_bytes([high, 0])), SIGNATURE.len() + 2, parser)?;
    }
    Ok(Parse::incomplete(least, input))
}

#[inline]
fn check_signature(input: &[u8]) -> Result<(), Malformed> {
    if input.starts_with(SIGNATURE) { Ok(()) } else { check_each_byte(input) }
}

#[cold]
fn check_each_byte(input: &[u8]) -> Result<(), Malformed> {
    match input.iter().zip(SIGNATURE).enumerate().find(|(_, (found, expected))| found != expected) {
        None => Ok(()),
        Some((at, (&found, _))) => {
            Err(Malformed::new(at, Fault::Byte { expected: "the v2 signature", found }, "R-V2-01"))
        }
    }
}

#[inline]
fn command(byte: u8) -> Result<Command, Malformed> {
    const AT: usize = 12;
    match byte {
        LOCAL => Ok(Command::Local),
        PROXY => Ok(Command::Proxy),
        found if found >> 4 == 2 => Err(Malformed::new(
            AT,
            Fault::Byte { expected: "command LOCAL (0) or PROXY (1)", found },
            "R-V2-03",
        )),
        found => Err(Malformed::new(AT, Fault::Byte { expected: "version 2", found }, "R-V2-02")),
    }
}

/// Version 2 and a command.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// What byte 14 announces. Where one half of it is unspecified, so is the other (R-V2-15).
#[derive(Clone, Copy)]
struct Kind {
    family: Family,
    transport: Transport,
}

impl Kind {
    const UNSPECIFIED: Self = Self { family: Family::Unspecified, transport: Transport::Unspecified };

    const fn new(family: Family, transport: Transport) -> Self {
        match (family, transport) {
            (Family::Unspecified, _) | (_, Transport::Unspecified) => Self::UNSPECIFIED,
            _ => Self { family, transport },
        }
    }
}

#[inline]
fn kind_of(byte: u8) -> Result<Kind, Malformed> {
    const AT: usize = 13;
    let family = match byte >> 4 {
        0 => Family::Unspecified,
        1 => Family::Inet,
        2 => Family::Inet6,
        3 => Family::Unix,
        _ => {
            let fault = Fault::Byte { expected: "a family from 0 to 3", found: byte };
            return Err(Malformed::new(AT, fault, "R-V2-04"));
        }
    };
    let transport = match byte & 0x0f {
        0 => Transport::Unspecified,
        1 => Transport::Stream,
        2 => Transport::Datagram,
        _ => {
            let fault = Fault::Byte { expected: "a transport from 0 to 2", found: byte };
            return Err(Malformed::new(AT, fault, "R-V2-05"));
        }
    };
    Ok(Kind::new(family, transport))
}

/// The length of the whole header, if the block has room for the addresses and the parser for the header.
#[inline]
fn check_len(found: usize, kind: Kind, parser: &Parser) -> Result<usize, Malformed> {
    const AT: usize = 14;
    let expected = least_len(kind.family);
    if found < expected {
        return Err(Malformed::new(
            AT,
            Fault::ShortBlock { family: kind.family, expected, found },
            "R-V2-11",
        ));
    }
    check_limit(found, AT, parser)
}

#[inline]
fn check_limit(block_len: usize, at: usize, parser: &Parser) -> Result<usize, Malformed> {
    let (declared, max) = (FIXED_LEN + block_len, parser.max_len);
    if declared > max {
        return Err(Malformed::new(at, Fault::HeaderTooLong { declared, max }, "R-V2-17"));
    }
    Ok(declared)
}

fn check_checksum(header: &[u8], at: usize, found: u32) -> Result<(), Malformed> {
    let expected = checksum::of_header(header, at);
    if found != expected {
        return Err(Malformed::new(at, Fault::Checksum { expected, found }, "R-TLV-05"));
    }
    Ok(())
}

/// Encodes the binary format, §2.2; the checksum, if `tlvs` have one, last.
pub(crate) fn encode(
    command: Command,
    addresses: &Addresses<'_>,
    transport: Transport,
    tlvs: &[u8],
    writer: &mut Writer<'_>,
) -> Result<(), BuildError> {
    let kind = match command {
        Command::Local => Kind::UNSPECIFIED,
        Command::Proxy => Kind::new(addresses.family(), transport),
    };
    let block_len = least_len(kind.family) + tlvs.len();
    let Ok(len) = u16::try_from(block_len) else {
        return Err(BuildError::TooLong { len: FIXED_LEN + block_len, max: crate::MAX_LEN });
    };
    writer.put(SIGNATURE)?;
    writer.put(&[0x20 | command as u8, (kind.family as u8) << 4 | kind.transport as u8])?;
    writer.put(&len.to_be_bytes())?;
    if kind.family != Family::Unspecified {
        encode_addresses(addresses, writer)?;
    }
    let tlvs_at = writer.at();
    writer.put(tlvs)?;
    match checksum_at(tlvs) {
        Some(at) => seal(tlvs_at + at, writer),
        None => Ok(()),
    }
}

fn encode_addresses(addresses: &Addresses<'_>, writer: &mut Writer<'_>) -> Result<(), BuildError> {
    match addresses {
        Addresses::Unspecified => Ok(()),
        Addresses::Inet { source, destination } => {
            writer.put(&source.ip().octets())?;
            writer.put(&destination.ip().octets())?;
            writer.put(&source.port().to_be_bytes())?;
            writer.put(&destination.port().to_be_bytes())
        }
        Addresses::Inet6 { source, destination } => {
            writer.put(&source.ip().octets())?;
            writer.put(&destination.ip().octets())?;
            writer.put(&source.port().to_be_bytes())?;
            writer.put(&destination.port().to_be_bytes())
        }
        Addresses::Unix { source, destination } => {
            writer.put_padded(source.as_bytes(), crate::UnixPath::MAX_LEN)?;
            writer.put_padded(destination.as_bytes(), crate::UnixPath::MAX_LEN)
        }
    }
}

/// Where in `tlvs` the checksum has its four bytes.
pub(crate) fn checksum_at(tlvs: &[u8]) -> Option<usize> {
    let mut at = 0;
    for tlv in RawTlvs::new(tlvs) {
        at += 3;
        if tlv.kind == kind::CHECKSUM && tlv.value.len() == checksum::LEN {
            return Some(at);
        }
        at += tlv.value.len();
    }
    None
}

/// Makes the checksum of what was written and puts it at `at`.
fn seal(at: usize, writer: &mut Writer<'_>) -> Result<(), BuildError> {
    let sum = checksum::of_header(writer.written(), at);
    writer.put_at(at, &sum.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_length_byte_alone_can_tell_that_a_header_is_too_long() {
        let parser = Parser::new().max_len(4096);
        let malformed = parser.parse(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x10").unwrap_err();
        assert_eq!((malformed.offset(), malformed.requirement()), (14, "R-V2-17"));
        assert!(parser.parse(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x0f").is_ok());
    }

    #[test]
    fn the_family_byte_raises_what_is_needed_to_its_address_block() {
        let Ok(Parse::Incomplete { needed }) = Header::parse(b"\r\n\r\n\0\r\nQUIT\n\x21\x31") else {
            panic!("it is incomplete");
        };
        assert_eq!(needed.get(), 2 + 216);
    }

    #[test]
    fn a_required_checksum_is_missed_in_both_versions() {
        let parser = Parser::new().require_checksum(true);
        let v2 =
            parser.parse(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x01\0\x02");
        assert_eq!(v2.unwrap_err().fault(), &Fault::ChecksumMissing);
        assert_eq!(parser.parse(b"P").unwrap_err().fault(), &Fault::ChecksumMissing);
    }
}
