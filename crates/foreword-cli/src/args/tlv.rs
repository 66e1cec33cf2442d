//! `--tlv KIND=VALUE`: names for those who know them, numbers and bytes for the rest.

use std::str::FromStr;

use foreword::text::{self, TlvTextError};

/// A TLV as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlvArg {
    pub(crate) kind: u8,
    pub(crate) value: Vec<u8>,
}

impl FromStr for TlvArg {
    type Err = TlvArgError;

    fn from_str(text: &str) -> Result<Self, TlvArgError> {
        let (name, value) = text.split_once('=').ok_or(TlvArgError::Shape)?;
        let (kind, value) = text::tlv(name, value).map_err(|error| match error {
            TlvTextError::Checksum => TlvArgError::Checksum,
            error => TlvArgError::Tlv(error),
        })?;
        Ok(Self { kind, value })
    }
}

/// Why a `--tlv` cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TlvArgError {
    #[error("expected `KIND=VALUE`")]
    Shape,
    #[error("a checksum is computed from the finished header: use --crc32c")]
    Checksum,
    #[error(transparent)]
    Tlv(TlvTextError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tlv_is_a_kind_and_a_value() {
        let tlv = |kind, value: &[u8]| Ok(TlvArg { kind, value: value.to_vec() });
        assert_eq!("aws-vpce=vpce-1=2".parse(), tlv(0xEA, b"\x01vpce-1=2"));
        assert_eq!("authority".parse::<TlvArg>(), Err(TlvArgError::Shape));
        assert_eq!("3=x".parse::<TlvArg>(), Err(TlvArgError::Checksum));
        assert!("256=x".parse::<TlvArg>().is_err_and(|error| matches!(error, TlvArgError::Tlv(_))));
    }
}
