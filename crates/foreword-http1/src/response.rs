//! Response heads: an index that is filled once, and the view that reads through it.

use crate::connection::ConnectionOptions;
use crate::diagnose;
use crate::error::{HeadError, HeadFault};
use crate::field::{Field, FieldSpan, Name};
use crate::framing::{Framing, FramingFields};
use crate::head_end::Limits;
use crate::lines::{index_fields, write_fields};
use crate::request::{Version, named_in_connection};
use crate::scan::value_len;
use crate::span::Span;

/// The index of one response head. Used again for the next, it allocates no more.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    version: Version,
    status: u16,
    reason: Span,
    fields: Vec<FieldSpan>,
    framing: FramingFields,
    connection: ConnectionOptions,
}

impl ResponseHead {
    /// The limits for answers: 32 KiB, and as many fields as fit.
    pub const LIMITS: Limits = Limits { head: 32 * 1024, fields: 1024, target: 0 };

    /// Parses a whole head, its empty line included, as [`HeadEnd`](crate::HeadEnd) found it.
    ///
    /// # Errors
    ///
    /// As with requests, except that a `Content-Length` may be repeated if it stays the same, RFC 9112 §6.3.
    pub fn parse(&mut self, head: &[u8], limits: &Limits) -> Result<(), HeadError> {
        if self.index(head, limits.fields) != Some(head.len()) {
            return Err(diagnose::response(head, limits));
        }
        self.read_fields(head)
    }

    /// Parses the head that `bytes` begin with and tells its length, if all of it is there and it is sound. As with
    /// [requests](crate::RequestHead::parse_at_once), `None` says nothing about the bytes.
    pub fn parse_at_once(&mut self, bytes: &[u8], limits: &Limits) -> Option<usize> {
        let within = bytes.get(..limits.head).unwrap_or(bytes);
        let len = self.index(within, limits.fields)?;
        self.read_fields(within.get(..len)?).is_ok().then_some(len)
    }

    /// The head through this index; `head` is the one that was parsed.
    pub fn view<'b>(&'b self, head: &'b [u8]) -> Response<'b> {
        Response { index: self, head }
    }

    fn clear(&mut self) {
        self.fields.clear();
        self.reason = Span::default();
        self.framing = FramingFields::default();
        self.connection = ConnectionOptions::default();
    }

    /// Finds the parts of the head that `bytes` begin with, and where it ends; `None` where they begin with none.
    fn index(&mut self, bytes: &[u8], most_fields: usize) -> Option<usize> {
        self.clear();
        let (version, rest) = bytes.split_first_chunk()?;
        self.version = match version {
            b"HTTP/1.1 " => Version::Http11,
            b"HTTP/1.0 " => Version::Http10,
            _ => return None,
        };
        let (&[hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9'], rest) =
            rest.split_first_chunk()?
        else {
            return None;
        };
        let digit = |byte: u8| u16::from(byte - b'0');
        self.status = digit(hundreds) * 100 + digit(tens) * 10 + digit(ones);
        let phrase = value_len(rest);
        // The space behind the status is there even where the phrase is missing, RFC 9112 §4; some leave out both.
        if phrase > 0 && !rest.starts_with(b" ") {
            return None;
        }
        let (start, end) = (bytes.len() - rest.len(), bytes.len() - rest.len() + phrase);
        self.reason = Span::new((start + 1).min(end), end);
        rest.get(phrase..)?.strip_prefix(b"\r\n")?;
        index_fields(bytes, end + 2, most_fields, &mut self.fields).map(|(end, _)| end)
    }

    fn read_fields(&mut self, head: &[u8]) -> Result<(), HeadError> {
        // RFC 9112 §6.3, 1: no body follows these, whatever their fields claim; 304 may claim a length, §8.6.
        let bodiless = matches!(self.status, 100..200 | 204);
        for field in self.fields.iter().filter(|field| field.known != Name::Other) {
            let value = field.value.of(head);
            let at = |fault| HeadError::new(field.name.start(), fault);
            match field.known {
                Name::ContentLength | Name::TransferEncoding if field.name.of(head).contains(&b'_') => {
                    return Err(at(HeadFault::UnderscoredFraming));
                }
                Name::ContentLength | Name::TransferEncoding if bodiless => {}
                Name::ContentLength => {
                    let first = self.framing.length.take();
                    self.framing.content_length(value).map_err(at)?;
                    if first.is_some_and(|first| self.framing.length != Some(first)) {
                        return Err(at(HeadFault::SeveralLengths));
                    }
                }
                Name::TransferEncoding => self.framing.transfer_encoding(value).map_err(at)?,
                Name::Connection => self.connection.read(value).map_err(at)?,
                _ => {}
            }
        }
        let http10 = self.version == Version::Http10;
        self.framing.check(http10).map_err(|fault| HeadError::new(head.len(), fault))
    }
}

/// One response head.
#[derive(Clone, Copy, Debug)]
pub struct Response<'b> {
    index: &'b ResponseHead,
    head: &'b [u8],
}

impl<'b> Response<'b> {
    /// The status.
    pub fn status(&self) -> u16 {
        self.index.status
    }

    /// The reason phrase; it may hold bytes beyond ASCII.
    pub fn reason(&self) -> &'b [u8] {
        self.index.reason.of(self.head)
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.index.version
    }

    /// Whether another head follows this one: every 1xx but 101, which ends HTTP on the connection.
    pub fn is_interim(&self) -> bool {
        matches!(self.index.status, 100..200) && self.index.status != 101
    }

    /// All fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'b>> + use<'b> {
        let head = self.head;
        self.index.fields.iter().map(move |field| field.of(head))
    }

    /// Writes the field lines that `passes` lets through, in order, as `Name: value`.
    pub fn write_fields(&self, passes: impl Fn(&Field<'b>) -> bool, out: &mut Vec<u8>) {
        write_fields(self.head, &self.index.fields, passes, out);
    }

    /// The values of the fields with this name, in order; case does not count.
    pub fn field<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'b, 'n> {
        let head = self.head;
        let named = self.index.fields.iter().filter(move |field| field.is_named(head, name));
        named.map(move |field| field.value.of(head))
    }

    /// Where the body ends, for the answer to a request with this method, RFC 9112 §6.3.
    pub fn framing(&self, method: &str) -> Framing {
        match (self.index.status, self.index.framing) {
            (100..200 | 204 | 304, _) => Framing::None,
            _ if method == "HEAD" => Framing::None,
            (200..300, _) if method == "CONNECT" => Framing::None,
            (_, FramingFields { chunked: true, .. }) => Framing::Chunked,
            (_, FramingFields { length: Some(0), .. }) => Framing::None,
            (_, FramingFields { length: Some(length), .. }) => Framing::Length(length),
            _ => Framing::UntilClose,
        }
    }

    /// The length that `Content-Length` claims: of the body, or, with HEAD and 304, of the one that GET would get.
    pub fn content_length(&self) -> Option<u64> {
        self.index.framing.length
    }

    /// The options of `Connection`.
    pub fn connection(&self) -> ConnectionOptions {
        self.index.connection
    }

    /// Whether `Connection` names this field, which then is for us alone.
    pub fn is_named_in_connection(&self, name: &[u8]) -> bool {
        self.index.connection.names_fields && named_in_connection(self.fields(), name)
    }

    /// Whether the server wants to keep the connection.
    pub fn keeps_alive(&self) -> bool {
        self.index.connection.keeps_alive(self.index.version == Version::Http10)
    }
}
