//! Request heads: an index that is filled once, and the view that reads through it.

use std::mem::MaybeUninit;

use crate::connection::ConnectionOptions;
use crate::diagnose;
use crate::error::{HeadError, HeadFault};
use crate::field::{Field, FieldSpan, Name, list};
use crate::framing::{Framing, FramingFields};
use crate::head_end::{Limits, MAX_METHOD};
use crate::host::Host;
use crate::span::Span;
use crate::target::{Target, is_target_byte};

/// A version that we speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}

/// The index of one request head. Used again for the next, it allocates no more.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    method: Span,
    target: Span,
    version: Version,
    fields: Vec<FieldSpan>,
    framing: FramingFields,
    connection: ConnectionOptions,
    expects_continue: bool,
    host_field: Option<Span>,
    host: String,
}

/// More fields than this cost an allocation per head; the default limit is below.
pub(crate) const FIELDS_ON_STACK: usize = 128;

impl RequestHead {
    /// Parses a whole head, its empty line included, as [`HeadEnd`](crate::HeadEnd) found it.
    ///
    /// # Errors
    ///
    /// With everything that RFC 9112 and 9110 do not allow, and with all that two readers could understand in two
    /// ways: see [`HeadFault`].
    pub fn parse(&mut self, head: &[u8], limits: &Limits) -> Result<(), HeadError> {
        self.clear();
        let parsed = if limits.fields <= FIELDS_ON_STACK {
            self.index(head, &mut [const { MaybeUninit::uninit() }; FIELDS_ON_STACK])
        } else {
            self.index(head, &mut vec![MaybeUninit::uninit(); limits.fields])
        };
        if parsed.is_none() {
            return Err(diagnose::request(head, limits));
        }
        self.check_line(head, limits)?;
        self.read_fields(head, limits)?;
        self.check_host(head)
    }

    /// The head through this index; `head` is the one that was parsed.
    pub fn view<'b>(&'b self, head: &'b [u8]) -> Request<'b> {
        Request { index: self, head }
    }

    fn clear(&mut self) {
        self.fields.clear();
        self.host.clear();
        self.framing = FramingFields::default();
        self.connection = ConnectionOptions::default();
        self.expects_continue = false;
        self.host_field = None;
    }

    /// Takes the parts that `httparse` finds, where the lines end as they must.
    fn index<'b>(&mut self, head: &'b [u8], fields: &mut [MaybeUninit<httparse::Header<'b>>]) -> Option<()> {
        let mut request = httparse::Request::new(&mut []);
        let status = request.parse_with_uninit_headers(head, fields).ok()?;
        let (method, target) = (request.method?, request.path?);
        self.method = Span::within(method.as_bytes(), head);
        self.target = Span::within(target.as_bytes(), head);
        self.version = if request.version? == 0 { Version::Http10 } else { Version::Http11 };
        let whole = status == httparse::Status::Complete(head.len()) && self.method.start() == 0;
        (whole && index_fields(head, request.headers, &mut self.fields)).then_some(())
    }

    fn check_line(&self, head: &[u8], limits: &Limits) -> Result<(), HeadError> {
        if self.method.of(head).len() > MAX_METHOD {
            return Err(HeadError::new(MAX_METHOD, HeadFault::MethodTooLong));
        }
        let (target, start) = (self.target.of(head), self.target.start());
        if let Some(at) = target.iter().position(|&byte| !is_target_byte(byte)) {
            let byte = target.get(at).copied().unwrap_or_default();
            return Err(HeadError::new(start + at, HeadFault::TargetByte(byte)));
        }
        if target.len() > limits.target {
            return Err(HeadError::new(start + limits.target, HeadFault::TargetTooLong));
        }
        Ok(())
    }

    fn read_fields(&mut self, head: &[u8], limits: &Limits) -> Result<(), HeadError> {
        if let Some(field) = self.fields.get(limits.fields) {
            return Err(HeadError::new(field.name.start(), HeadFault::TooManyFields));
        }
        for field in &self.fields {
            let value = field.value.of(head);
            let at = |fault| HeadError::new(field.name.start(), fault);
            match field.known {
                Name::Other => {}
                Name::ContentLength | Name::TransferEncoding if field.name.of(head).contains(&b'_') => {
                    return Err(at(HeadFault::UnderscoredFraming));
                }
                Name::ContentLength => self.framing.content_length(value).map_err(at)?,
                Name::TransferEncoding => self.framing.transfer_encoding(value).map_err(at)?,
                Name::Connection => self.connection.read(value).map_err(at)?,
                Name::Expect => self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue"),
                Name::Host if self.host_field.is_some() => return Err(at(HeadFault::SeveralHosts)),
                Name::Host => self.host_field = Some(field.value),
                _ => {}
            }
        }
        let http10 = self.version == Version::Http10;
        self.framing.check(http10).map_err(|fault| HeadError::new(head.len(), fault))
    }

    /// Settles which host is meant: an absolute target says so as well, and must say the same, RFC 9112 §3.2.2.
    fn check_host(&mut self, head: &[u8]) -> Result<(), HeadError> {
        let target = Target::parse(self.method.text(head), self.target.text(head))
            .ok_or_else(|| HeadError::new(self.target.start(), HeadFault::TargetForm))?;
        let field = match self.host_field {
            Some(span) => {
                let fault = || HeadError::new(span.start(), HeadFault::Host);
                Some(Host::parse(span.of(head)).ok_or_else(fault)?)
            }
            None if self.version == Version::Http11 => {
                return Err(HeadError::new(head.len(), HeadFault::NoHost));
            }
            None => None,
        };
        let (in_target, default_port) = match target {
            Target::Absolute { https, host, .. } => (Some(host), if https { 443 } else { 80 }),
            Target::Authority(host) => (Some(host), 443),
            Target::Origin(_) | Target::Asterisk => (None, 80),
        };
        if let (Some(field), Some(in_target)) = (field, in_target)
            && !field.agrees_with(&in_target, default_port)
        {
            return Err(HeadError::new(self.target.start(), HeadFault::HostDisagrees));
        }
        if let Some(host) = in_target.or(field) {
            host.write_normal(&mut self.host);
        }
        Ok(())
    }
}

/// Indexes fields, and tells whether each line ends in CR LF: `httparse` takes a bare LF as well.
pub(crate) fn index_fields(head: &[u8], fields: &[httparse::Header<'_>], index: &mut Vec<FieldSpan>) -> bool {
    index.extend(fields.iter().map(|field| FieldSpan {
        name: Span::within(field.name.as_bytes(), head),
        value: Span::within(field.value, head),
        known: Name::of(field.name.as_bytes()),
    }));
    let ends_before = |at: usize| head.get(..at).is_some_and(|before| before.ends_with(b"\r\n"));
    head.ends_with(b"\r\n\r\n") && index.iter().all(|field| ends_before(field.name.start()))
}

/// One request head.
#[derive(Clone, Copy, Debug)]
pub struct Request<'b> {
    index: &'b RequestHead,
    head: &'b [u8],
}

impl<'b> Request<'b> {
    /// The method: a token, case-sensitive.
    pub fn method(&self) -> &'b str {
        self.index.method.text(self.head)
    }

    /// The target as it was written.
    pub fn raw_target(&self) -> &'b str {
        self.index.target.text(self.head)
    }

    /// The target by its form.
    pub fn target(&self) -> Target<'b> {
        // The parser has told the form once already; what it could not tell is no `Request`.
        Target::parse(self.method(), self.raw_target()).unwrap_or(Target::Asterisk)
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.index.version
    }

    /// All fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'b>> + use<'b> {
        let head = self.head;
        self.index.fields.iter().map(move |field| field.of(head))
    }

    /// The values of the fields with this name, in order; case does not count.
    pub fn field<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'b, 'n> {
        self.fields().filter(move |field| field.is(name)).map(|field| field.value)
    }

    /// The host that is meant, as rules compare it: lower case, without port or trailing dot. Empty in HTTP/1.0
    /// without `Host`.
    pub fn host(&self) -> &'b str {
        &self.index.host
    }

    /// The value of `Host` as it was written, or else the authority of an absolute target.
    pub fn authority(&self) -> Option<&'b str> {
        if let Some(span) = self.index.host_field {
            return Some(span.text(self.head));
        }
        // No other form has an authority of its own: what looks like one in a path or query is anybody's text.
        let Target::Absolute { .. } = self.target() else { return None };
        let (_, rest) = self.raw_target().split_once("://")?;
        rest.split(['/', '?']).next()
    }

    /// Where the body ends.
    pub fn framing(&self) -> Framing {
        match self.index.framing {
            FramingFields { chunked: true, .. } => Framing::Chunked,
            FramingFields { length: Some(length @ 1..), .. } => Framing::Length(length),
            _ => Framing::None,
        }
    }

    /// Whether `Content-Length` is there, be it 0.
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

    /// Whether the client wants to keep the connection.
    pub fn keeps_alive(&self) -> bool {
        self.index.connection.keeps_alive(self.index.version == Version::Http10)
    }

    /// Whether the client waits for `100 Continue` before it sends the body; nobody does in HTTP/1.0, RFC 9110 §10.1.1.
    pub fn expects_continue(&self) -> bool {
        self.index.expects_continue && self.index.version == Version::Http11
    }
}

pub(crate) fn named_in_connection<'b>(mut fields: impl Iterator<Item = Field<'b>>, name: &[u8]) -> bool {
    fields.any(|field| {
        field.known == Name::Connection && list(field.value).any(|option| option.eq_ignore_ascii_case(name))
    })
}
