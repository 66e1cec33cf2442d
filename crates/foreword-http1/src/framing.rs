//! Where a body ends, RFC 9112 §6.3: settled once, while the head is parsed.

use crate::error::HeadFault;
use crate::field::list;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// The body has this many bytes.
    Length(u64),
    /// The body tells by its own coding.
    Chunked,
    /// The body ends with the connection. Only responses can.
    UntilClose,
}

/// What the framing fields of one head say, gathered while it is parsed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FramingFields {
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
}

impl FramingFields {
    /// Takes note of a `Content-Length`. A list, even of equal numbers, is a second opinion: refused.
    pub(crate) fn content_length(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        let fault = || if value.contains(&b',') { HeadFault::SeveralLengths } else { HeadFault::Length };
        if self.length.is_some() {
            return Err(HeadFault::SeveralLengths);
        }
        self.length = Some(number(value).ok_or_else(fault)?);
        Ok(())
    }

    /// Takes note of a `Transfer-Encoding`. `chunked, chunked` and `gzip, chunked` are as unknown as `xchunked`.
    pub(crate) fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        if self.chunked || list(value).any(<[u8]>::is_empty) {
            return Err(HeadFault::SeveralCodings);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(HeadFault::UnknownCoding);
        }
        self.chunked = true;
        Ok(())
    }

    pub(crate) fn check(&self, http10: bool) -> Result<(), HeadFault> {
        match self {
            Self { chunked: true, length: Some(_) } => Err(HeadFault::LengthAndCoding),
            Self { chunked: true, .. } if http10 => Err(HeadFault::CodingInHttp10),
            _ => Ok(()),
        }
    }
}

/// A plain decimal number. 2^63 is where signed readers would begin to see negative ones.
fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let number = value.iter().try_fold(0, |number: u64, byte| {
        let digit = u64::from(byte.wrapping_sub(b'0'));
        (digit <= 9).then_some(())?;
        number.checked_mul(10)?.checked_add(digit)
    })?;
    i64::try_from(number).is_ok().then_some(number)
}
