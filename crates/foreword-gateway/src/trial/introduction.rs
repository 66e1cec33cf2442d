//! The header of a trial.

use std::net::SocketAddr;

use foreword::{BuildError, Builder, Version, kind};

/// The header that a peer sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Its version.
    pub version: Version,
    /// Whom it names; `None` is a header that names nobody: UNKNOWN in v1, LOCAL in v2.
    pub client: Option<SocketAddr>,
    /// Its TLVs, in order; only v2 has them.
    pub tlvs: Vec<(u8, Vec<u8>)>,
}

impl Introduction {
    /// Writes it. The client called `destination`.
    pub(super) fn write(&self, destination: SocketAddr, out: &mut Vec<u8>) -> Result<(), BuildError> {
        let builder = match (self.version, self.client) {
            (version, Some(client)) => Builder::new(version).proxy(client, destination),
            (Version::One, None) => Builder::v1().unknown(),
            (Version::Two, None) => Builder::v2().local(),
        };
        let builder = self.tlvs.iter().fold(builder, |builder, (kind, value)| builder.raw_tlv(*kind, value));
        builder.write_to(out).map(|_| ())
    }
}

/// A TLV as people write it: a name or a kind (`authority`, `aws_vpce`, `0xE1`), and text or `hex:…`.
///
/// # Errors
/// What was expected.
pub fn tlv(name: &str, text: &str) -> Result<(u8, Vec<u8>), String> {
    let mut value = match text.strip_prefix("hex:") {
        Some(digits) => {
            hex(digits).ok_or_else(|| format!("expected pairs of hexadecimal digits, found `{digits}`"))?
        }
        None => text.as_bytes().to_vec(),
    };
    let kind = match name {
        "alpn" => kind::ALPN,
        "authority" => kind::AUTHORITY,
        "unique_id" => kind::UNIQUE_ID,
        "netns" => kind::NETNS,
        "aws_vpce" => {
            value.insert(0, AWS_VPCE);
            kind::AWS
        }
        number => number_of(number).ok_or_else(|| {
            format!("expected `alpn`, `authority`, `unique_id`, `netns`, `aws_vpce` or a kind such as `0xE1`, found `{number}`")
        })?,
    };
    Ok((kind, value))
}

fn number_of(text: &str) -> Option<u8> {
    match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = digits
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// The subtype of Amazon's TLV that is an endpoint's id (R-TLV-16).
const AWS_VPCE: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tlv_is_named_or_numbered() {
        assert_eq!(tlv("authority", "a"), Ok((0x02, b"a".to_vec())));
        assert_eq!(tlv("aws_vpce", "vpce-1"), Ok((0xEA, b"\x01vpce-1".to_vec())));
        assert_eq!(tlv("0xE1", "hex:01ff"), Ok((0xE1, vec![1, 255])));
        assert!(tlv("0xE1", "hex:01f").is_err());
        assert!(tlv("authorty", "a").is_err());
    }
}
