//! The flags that say which header to send, shared by every verb that makes one.

use clap::{Args, ValueEnum};
use foreword::Version;
use foreword_client::introduction::{End, Introduction, SpeaksFor};

use super::tlv::TlvArg;

/// Which header to send, and what it says.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Header")]
pub(crate) struct HeaderArgs {
    /// The header's version, or `none`; without it v1, or v2 where only v2 can say what is asked for
    #[arg(long, value_name = "VERSION", value_enum)]
    pub(crate) header: Option<HeaderChoice>,

    /// The client's address, or `unix:PATH` (v2 only)
    #[arg(long, value_name = "IP[:PORT]", conflicts_with_all = ["local", "unknown"])]
    pub(crate) source: Option<End>,

    /// The address that the client connected to, or `unix:PATH` (v2 only)
    #[arg(long, value_name = "IP[:PORT]", conflicts_with_all = ["local", "unknown"])]
    pub(crate) destination: Option<End>,

    /// A TLV, repeatable: a name (alpn, authority, unique-id, netns, noop, ssl, aws-vpce, azure-link, gcp-psc,
    /// alibaba-vpc, alibaba-endpoint, alibaba-service) or a number, and text or `hex:` and bytes
    #[arg(long, value_name = "KIND=VALUE")]
    pub(crate) tlv: Vec<TlvArg>,

    /// Add a CRC32C of the whole header
    #[arg(long)]
    pub(crate) crc32c: bool,

    /// Speak for the sender itself, as health checks do (v2 only)
    #[arg(long, conflicts_with = "unknown")]
    pub(crate) local: bool,

    /// Speak for a client that cannot be named: `PROXY UNKNOWN` in v1, unspecified in v2
    #[arg(long)]
    pub(crate) unknown: bool,

    /// Whether the client came by datagrams; only `encode` has a flag for it.
    #[arg(skip)]
    pub(crate) datagram: bool,
}

/// What `--header` can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HeaderChoice {
    /// The line of text
    V1,
    /// The binary format
    V2,
    /// No header
    None,
}

impl HeaderArgs {
    /// The header that the flags ask for, if any.
    pub(crate) fn introduction(&self) -> Result<Option<Introduction>, HeaderArgsError> {
        let version = match (self.header, self.only_v2_can()) {
            (Some(HeaderChoice::None), _) => return self.no_header(),
            (Some(HeaderChoice::V1), Some(flag)) => return Err(HeaderArgsError::OnlyV2 { flag }),
            (Some(HeaderChoice::V1), None) | (None, None) => Version::One,
            (Some(HeaderChoice::V2), _) | (None, Some(_)) => Version::Two,
        };
        let speaks_for = match (self.local, self.unknown) {
            (true, _) => SpeaksFor::Itself,
            (false, true) => SpeaksFor::Unknown,
            (false, false) => {
                SpeaksFor::Client { source: self.source.clone(), destination: self.destination.clone() }
            }
        };
        let tlvs = self.tlv.iter().map(|tlv| (tlv.kind, tlv.value.clone())).collect();
        Ok(Some(Introduction { version, speaks_for, datagram: self.datagram, tlvs, checksum: self.crc32c }))
    }

    /// The flag that v1 has no words for, if one was given.
    fn only_v2_can(&self) -> Option<&'static str> {
        match self {
            _ if !self.tlv.is_empty() => Some("--tlv"),
            _ if self.crc32c => Some("--crc32c"),
            _ if self.local => Some("--local"),
            _ if matches!(self.source, Some(End::Unix(_))) => Some("--source unix:…"),
            _ if matches!(self.destination, Some(End::Unix(_))) => Some("--destination unix:…"),
            _ if self.datagram => Some("--datagram"),
            _ => None,
        }
    }

    /// Without a header there is nothing that could say the rest.
    fn no_header(&self) -> Result<Option<Introduction>, HeaderArgsError> {
        let flag = match self {
            _ if self.source.is_some() => "--source",
            _ if self.destination.is_some() => "--destination",
            _ if self.unknown => "--unknown",
            _ => match self.only_v2_can() {
                Some(flag) => flag,
                None => return Ok(None),
            },
        };
        Err(HeaderArgsError::NoHeader { flag })
    }
}

/// Flags that contradict each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderArgsError {
    #[error("expected `--header v2` with `{flag}`, found `--header v1`, which cannot carry it")]
    OnlyV2 { flag: &'static str },
    #[error("expected a header to carry `{flag}`, found `--header none`")]
    NoHeader { flag: &'static str },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_v1_unless_only_v2_can_say_it() {
        let version =
            |args: HeaderArgs| args.introduction().expect("sound flags").map(|header| header.version);
        assert_eq!(version(HeaderArgs::default()), Some(Version::One));
        assert_eq!(version(HeaderArgs { local: true, ..HeaderArgs::default() }), Some(Version::Two));
        assert_eq!(version(HeaderArgs { datagram: true, ..HeaderArgs::default() }), Some(Version::Two));
        let unix = "unix:/run/a.sock".parse::<End>().ok();
        assert_eq!(version(HeaderArgs { source: unix, ..HeaderArgs::default() }), Some(Version::Two));
        assert_eq!(version(HeaderArgs { crc32c: true, ..HeaderArgs::default() }), Some(Version::Two));
        assert_eq!(version(HeaderArgs { header: Some(HeaderChoice::None), ..HeaderArgs::default() }), None);
    }

    #[test]
    fn what_a_header_cannot_carry_is_refused_rather_than_dropped() {
        let v1 = HeaderArgs { header: Some(HeaderChoice::V1), crc32c: true, ..HeaderArgs::default() };
        assert_eq!(v1.introduction(), Err(HeaderArgsError::OnlyV2 { flag: "--crc32c" }));
        let none = HeaderArgs { header: Some(HeaderChoice::None), unknown: true, ..HeaderArgs::default() };
        assert_eq!(none.introduction(), Err(HeaderArgsError::NoHeader { flag: "--unknown" }));
    }
}
