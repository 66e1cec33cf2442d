//! What is wrong with a head: the byte, the clause, and the status that says so.

use std::fmt;

/// Why a head was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadError {
    at: usize,
    fault: HeadFault,
}

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadFault {
    /// The first byte opens a TLS record, not a request.
    TlsClientHello,
    /// The client preface of HTTP/2.
    Http2Preface,
    /// A request line without a version.
    Http09,
    /// A version other than 1.0 and 1.1.
    Version,
    /// An empty line where a head should begin.
    BlankLine,
    /// A line feed without a carriage return before it.
    BareLf,
    /// A carriage return without a line feed after it.
    BareCr,
    /// A method with a byte that no token has, or none.
    Method,
    /// A method longer than any that exists.
    MethodTooLong,
    /// A status line that is none.
    StatusLine,
    /// A target with this byte, which no URI has.
    TargetByte(u8),
    /// A target in none of the four forms.
    TargetForm,
    /// A field name with this byte, which no token has.
    NameByte(u8),
    /// A field line without a name before the colon.
    EmptyName,
    /// A field line without a colon.
    NoColon,
    /// White space between field name and colon.
    SpaceBeforeColon,
    /// A line that goes on from the one before it.
    Folded,
    /// A field value with this control byte.
    ValueByte(u8),
    /// A head that is not one, in no way listed here.
    Malformed,
    /// Content-Length beside Transfer-Encoding.
    LengthAndCoding,
    /// More than one Content-Length, or a list of them.
    SeveralLengths,
    /// A Content-Length that is no plain number below 2^63.
    Length,
    /// More than one Transfer-Encoding, or one without a coding.
    SeveralCodings,
    /// A transfer coding other than a single `chunked`.
    UnknownCoding,
    /// Transfer-Encoding in HTTP/1.0, whose readers do not know it.
    CodingInHttp10,
    /// A framing field spelled with `_`, which some take for `-`.
    UnderscoredFraming,
    /// No Host in HTTP/1.1.
    NoHost,
    /// More than one Host.
    SeveralHosts,
    /// A Host that is no host with an optional port.
    Host,
    /// A Host that differs from the one in the target.
    HostDisagrees,
    /// More bytes than the limit for a head.
    HeadTooLong,
    /// More field lines than the limit.
    TooManyFields,
    /// A target longer than the limit.
    TargetTooLong,
}

/// The groups of faults that operators count apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Not as RFC 9112 writes a head.
    Malformed,
    /// Readers could differ about where the body ends.
    AmbiguousFraming,
    /// A transfer coding that we do not know.
    UnknownCoding,
    /// Host missing, doubled, malformed or disagreeing.
    Host,
    /// Head, target or fields over a limit.
    TooLarge,
    /// TLS where HTTP is spoken in the clear.
    Tls,
    /// HTTP/0.9, HTTP/2, or a version that does not exist.
    Version,
}

impl HeadError {
    pub(crate) fn new(at: usize, fault: HeadFault) -> Self {
        Self { at, fault }
    }

    /// The byte of the head that shows the fault, counted from 0.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What was wrong.
    pub fn fault(&self) -> HeadFault {
        self.fault
    }

    /// The group of faults that it belongs to.
    pub fn class(&self) -> Class {
        use HeadFault as F;
        match self.fault {
            F::TlsClientHello => Class::Tls,
            F::Http2Preface | F::Http09 | F::Version => Class::Version,
            F::LengthAndCoding
            | F::SeveralLengths
            | F::Length
            | F::SeveralCodings
            | F::CodingInHttp10
            | F::UnderscoredFraming => Class::AmbiguousFraming,
            F::UnknownCoding => Class::UnknownCoding,
            F::NoHost | F::SeveralHosts | F::Host | F::HostDisagrees => Class::Host,
            F::HeadTooLong | F::TooManyFields | F::TargetTooLong => Class::TooLarge,
            _ => Class::Malformed,
        }
    }

    /// The status that answers a request with this fault.
    pub fn status(&self) -> u16 {
        match self.fault {
            HeadFault::Version | HeadFault::Http2Preface => 505,
            HeadFault::UnknownCoding | HeadFault::MethodTooLong => 501,
            HeadFault::TargetTooLong => 414,
            HeadFault::HeadTooLong | HeadFault::TooManyFields => 431,
            _ => 400,
        }
    }

    /// The clause that the head is at odds with.
    pub fn clause(&self) -> &'static str {
        use HeadFault as F;
        match self.fault {
            F::TlsClientHello | F::Method | F::Malformed => "RFC 9112 §3",
            F::MethodTooLong | F::TargetTooLong => "RFC 9112 §3",
            F::Http2Preface => "RFC 9113 §3.4",
            F::Http09 | F::Version => "RFC 9112 §2.3",
            F::BlankLine | F::BareLf | F::BareCr => "RFC 9112 §2.2",
            F::StatusLine => "RFC 9112 §4",
            F::TargetByte(_) | F::TargetForm => "RFC 9112 §3.2",
            F::NameByte(_) | F::EmptyName | F::NoColon => "RFC 9110 §5.1",
            F::SpaceBeforeColon => "RFC 9112 §5.1",
            F::Folded => "RFC 9112 §5.2",
            F::ValueByte(_) => "RFC 9110 §5.5",
            F::LengthAndCoding | F::UnderscoredFraming => "RFC 9112 §6.3",
            F::SeveralLengths | F::Length => "RFC 9110 §8.6",
            F::SeveralCodings | F::UnknownCoding | F::CodingInHttp10 => "RFC 9112 §6.1",
            F::NoHost | F::SeveralHosts | F::HostDisagrees => "RFC 9112 §3.2",
            F::Host => "RFC 9110 §7.2",
            F::HeadTooLong | F::TooManyFields => "RFC 6585 §5",
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {} ({})", self.at, self.fault, self.clause())
    }
}

impl std::error::Error for HeadError {}

impl fmt::Display for HeadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::TlsClientHello => "expected an HTTP request, found a TLS record",
            Self::Http2Preface => "expected HTTP/1.1, found the preface of HTTP/2",
            Self::Http09 => "expected `HTTP/1.1` after the target, found the end of the line (HTTP/0.9)",
            Self::Version => "expected version `HTTP/1.1` or `HTTP/1.0`, found another",
            Self::BlankLine => "expected a head, found an empty line",
            Self::BareLf => "expected a line to end in CR LF, found LF alone",
            Self::BareCr => "expected LF after CR, found another byte",
            Self::Method => "expected a method, found no token",
            Self::MethodTooLong => "expected a method within 32 bytes, found a longer one",
            Self::StatusLine => "expected a status line, found something else",
            Self::TargetByte(byte) => return found(f, "a byte of a URI in the target", *byte),
            Self::TargetForm => {
                "expected a target that begins with `/`, `http://` or `https://`, found another"
            }
            Self::NameByte(byte) => return found(f, "a byte of a token in the field name", *byte),
            Self::EmptyName => "expected a field name, found a colon",
            Self::NoColon => "expected a colon after the field name, found the end of the line",
            Self::SpaceBeforeColon => "expected a colon right after the field name, found white space",
            Self::Folded => "expected a field name, found a folded line",
            Self::ValueByte(byte) => return found(f, "a visible byte in the field value", *byte),
            Self::Malformed => "expected a head of HTTP/1.1, found something else",
            Self::LengthAndCoding => "expected one of `Content-Length` and `Transfer-Encoding`, found both",
            Self::SeveralLengths => "expected one `Content-Length`, found several",
            Self::Length => "expected a decimal number below 2^63 in `Content-Length`, found another value",
            Self::SeveralCodings => "expected one `Transfer-Encoding` with one coding, found another count",
            Self::UnknownCoding => "expected the transfer coding `chunked`, found another",
            Self::CodingInHttp10 => "expected no `Transfer-Encoding` in HTTP/1.0, found one",
            Self::UnderscoredFraming => "expected `-` in the name of a framing field, found `_`",
            Self::NoHost => "expected a `Host`, found none",
            Self::SeveralHosts => "expected one `Host`, found several",
            Self::Host => "expected a host with an optional port in `Host`, found another value",
            Self::HostDisagrees => "expected the host of the target in `Host`, found another",
            Self::HeadTooLong => "expected the end of the head within its limit, found more bytes",
            Self::TooManyFields => "expected no more fields than the limit, found more",
            Self::TargetTooLong => "expected a target within its limit, found a longer one",
        };
        f.write_str(text)
    }
}

fn found(f: &mut fmt::Formatter<'_>, expected: &str, byte: u8) -> fmt::Result {
    write!(f, "expected {expected}, found 0x{byte:02x}")
}
