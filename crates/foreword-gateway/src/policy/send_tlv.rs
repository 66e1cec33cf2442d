//! What a header to an endpoint says besides addresses: TLVs of our own, and those that are passed on.

use foreword::{RawTlv, kind};
use foreword_rule::Template;

use super::tlv_kind::TlvKind;

/// A TLV that we add to a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendTlv {
    /// The protocol agreed on with the client.
    Alpn,
    /// The host name that the client asked for in its TLS handshake.
    Authority,
    /// The connection's id.
    UniqueId,
    /// The checksum over the header.
    Crc32c,
    /// What we know of the client's TLS.
    Ssl(SslParts),
    /// The network namespace that the trusted proxy named.
    Netns,
    /// Something of the operator's.
    Given {
        /// Its kind.
        kind: TlvKind,
        /// Its value.
        value: TlvValue,
    },
}

impl SendTlv {
    /// Its kind.
    pub fn kind(&self) -> TlvKind {
        match self {
            Self::Alpn => TlvKind::numbered(kind::ALPN),
            Self::Authority => TlvKind::numbered(kind::AUTHORITY),
            Self::UniqueId => TlvKind::numbered(kind::UNIQUE_ID),
            Self::Crc32c => TlvKind::numbered(kind::CHECKSUM),
            Self::Ssl(_) => TlvKind::numbered(kind::SSL),
            Self::Netns => TlvKind::numbered(kind::NETNS),
            Self::Given { kind, .. } => *kind,
        }
    }
}

/// The value of a TLV of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlvValue {
    /// The same in every header, as its kind wants it.
    Fixed(Box<[u8]>),
    /// Made for each connection; without one of its variables' values there is no TLV.
    Made(Template),
}

/// Which parts of the SSL TLV go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SslParts(u8);

impl SslParts {
    /// All but the client's certificate, which is larger than most receivers take (R-SEND-12).
    pub const DEFAULT: Self = Self(u8::MAX >> 1);
    /// The version alone, which is always said (R-SEND-14).
    pub const LEAST: Self = Self(1);

    /// The names of the parts, in the order of their numbers.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        PARTS.iter().map(|(name, _)| *name)
    }

    /// These parts and the one of this name.
    #[must_use]
    pub fn and(self, name: &str) -> Option<Self> {
        PARTS.iter().find(|(known, _)| *known == name).map(|(_, kind)| Self(self.0 | Self::bit(*kind)))
    }

    /// Whether the TLV of this kind, inside SSL, goes out.
    pub fn has(self, kind: u8) -> bool {
        PARTS.iter().any(|(_, known)| *known == kind) && self.0 & Self::bit(kind) != 0
    }

    /// The parts have the numbers from 0x21 to 0x28.
    const fn bit(kind: u8) -> u8 {
        1 << (kind.wrapping_sub(FIRST_PART) & 7)
    }
}

/// Which TLVs of a received header go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassTlvs {
    /// All but the checksum and padding.
    All,
    /// Those of these kinds.
    These(Box<[TlvKind]>),
}

impl Default for PassTlvs {
    fn default() -> Self {
        Self::These(Box::default())
    }
}

impl PassTlvs {
    /// Whether none does.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::These(kinds) if kinds.is_empty())
    }

    /// Whether this one does. The checksum of another header and padding never do (R-SEND-10).
    pub(crate) fn has(&self, tlv: &RawTlv<'_>) -> bool {
        match (tlv.kind, self) {
            (kind::CHECKSUM | kind::NOOP, _) => false,
            (_, Self::All) => true,
            (_, Self::These(kinds)) => kinds.iter().any(|kind| kind.holds(tlv.kind, tlv.value)),
        }
    }
}

/// The most TLVs that a cluster may add: each is remembered by a bit.
pub const MAX_TLVS: usize = 64;

/// What a header may take unless the file says otherwise: it then fits the smallest segment (R-SEND-12).
pub const DEFAULT_MAX_HEADER: usize = 536;

const FIRST_PART: u8 = 0x21;

/// The TLVs inside SSL, §2.2.6.
const PARTS: [(&str, u8); 8] = [
    ("version", FIRST_PART),
    ("cn", 0x22),
    ("cipher", 0x23),
    ("sig_alg", 0x24),
    ("key_alg", 0x25),
    ("group", 0x26),
    ("sig_scheme", 0x27),
    ("client_cert", 0x28),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_is_no_part_unless_it_is_named() {
        assert!((0x21..=0x27).all(|kind| SslParts::DEFAULT.has(kind)));
        assert!(!SslParts::DEFAULT.has(0x28) && !SslParts::DEFAULT.has(0x29) && !SslParts::DEFAULT.has(0x20));
        let parts = SslParts::LEAST.and("client_cert").unwrap();
        assert!(parts.has(0x21) && parts.has(0x28) && !parts.has(0x22));
        assert_eq!(parts.and("certificate"), None);
    }

    #[test]
    fn neither_checksum_nor_padding_is_passed_on() {
        let tlv = |kind| RawTlv { kind, value: b"\x01abc" };
        assert!(PassTlvs::All.has(&tlv(0xea)) && !PassTlvs::All.has(&tlv(3)) && !PassTlvs::All.has(&tlv(4)));
        let these = PassTlvs::These([TlvKind::named("aws.vpce").unwrap()].into());
        assert!(these.has(&tlv(0xea)) && !these.has(&RawTlv { kind: 0xea, value: b"\x02abc" }));
        assert!(!these.has(&tlv(0xeb)) && PassTlvs::default().is_none());
    }
}
