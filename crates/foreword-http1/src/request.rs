//! Request heads: an index that is filled once, and the view that reads through it.

use crate::connection::ConnectionOptions;
use crate::diagnose;
use crate::error::{HeadError, HeadFault};
use crate::field::{Field, FieldSpan, Name, NameSet, list};
use crate::framing::{Framing, FramingFields};
use crate::head_end::{Limits, MAX_METHOD, most_of_first_line};
use crate::host::Host;
use crate::lines::{index_fields, write_fields};
use crate::scan::{target_len, token_len};
use crate::span::Span;
use crate::target::Target;

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
    /// The first line up to the end of the target.
    line: String,
    version: Version,
    fields: Vec<FieldSpan>,
    known: NameSet,
    framing: FramingFields,
    connection: ConnectionOptions,
    expects_continue: bool,
    host_field: Option<Span>,
    host: String,
    /// Whether `Host` says just that, without a port, in lower case.
    host_is_as_written: bool,
}

impl RequestHead {
    /// Parses a whole head, its empty line included, as [`HeadEnd`](crate::HeadEnd) found it.
    ///
    /// # Errors
    ///
    /// With everything that RFC 9112 and 9110 do not allow, and with all that two readers could understand in two
    /// ways: see [`HeadFault`].
    pub fn parse(&mut self, head: &[u8], limits: &Limits) -> Result<(), HeadError> {
        if self.index(head, limits.fields) != Some(head.len()) {
            return Err(diagnose::request(head, limits));
        }
        self.check(head, limits)
    }

    /// Parses the head that `bytes` begin with and tells its length, if all of it is there and it is sound: nearly every
    /// head comes so, and then each of its bytes is looked at once.
    ///
    /// `None` says nothing about the bytes. [`HeadEnd`](crate::HeadEnd) tells whether there are to be more of them, and
    /// [`parse`](Self::parse) what is wrong.
    ///
    /// ```
    /// use foreword_http1::{Limits, RequestHead};
    ///
    /// let mut head = RequestHead::default();
    /// let limits = Limits::default();
    /// assert_eq!(head.parse_at_once(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", &limits), Some(27));
    /// assert_eq!(head.parse_at_once(b"GET / HTTP/1.1\r\nHost:", &limits), None);
    /// ```
    pub fn parse_at_once(&mut self, bytes: &[u8], limits: &Limits) -> Option<usize> {
        let within = bytes.get(..limits.head).unwrap_or(bytes);
        let len = self.index(within, limits.fields)?;
        let head = within.get(..len)?;
        let first_line = self.target.end() + VERSION_LEN;
        let is_sound = first_line <= most_of_first_line(limits) && self.check(head, limits).is_ok();
        is_sound.then_some(len)
    }

    /// The head through this index; `head` is the one that was parsed.
    pub fn view<'b>(&'b self, head: &'b [u8]) -> Request<'b> {
        Request { index: self, head }
    }

    fn clear(&mut self) {
        self.line.clear();
        self.fields.clear();
        self.known = NameSet::default();
        self.host.clear();
        self.host_is_as_written = false;
        self.framing = FramingFields::default();
        self.connection = ConnectionOptions::default();
        self.expects_continue = false;
        self.host_field = None;
    }

    /// Finds the parts of the head that `bytes` begin with, and where it ends; `None` where they begin with none.
    fn index(&mut self, bytes: &[u8], most_fields: usize) -> Option<usize> {
        self.clear();
        let method = token_len(bytes);
        let rest = bytes.get(method..)?.strip_prefix(b" ").filter(|_| method > 0)?;
        let target = target_len(rest);
        let (version, fields) =
            rest.get(target..)?.split_first_chunk::<VERSION_LEN>().filter(|_| target > 0)?;
        self.version = match version {
            b" HTTP/1.1\r\n" => Version::Http11,
            b" HTTP/1.0\r\n" => Version::Http10,
            _ => return None,
        };
        self.method = Span::new(0, method);
        self.target = Span::new(method + 1, method + 1 + target);
        let (end, known) = index_fields(bytes, bytes.len() - fields.len(), most_fields, &mut self.fields)?;
        self.known = known;
        Some(end)
    }

    /// Settles what the parts mean.
    fn check(&mut self, head: &[u8], limits: &Limits) -> Result<(), HeadError> {
        if self.method.of(head).len() > MAX_METHOD {
            return Err(HeadError::new(MAX_METHOD, HeadFault::MethodTooLong));
        }
        if self.target.of(head).len() > limits.target {
            return Err(HeadError::new(self.target.start() + limits.target, HeadFault::TargetTooLong));
        }
        self.read_fields(head)?;
        self.check_host(head)
    }

    fn read_fields(&mut self, head: &[u8]) -> Result<(), HeadError> {
        for field in self.fields.iter().filter(|field| field.known != Name::Other) {
            let value = field.value.of(head);
            let at = |fault| HeadError::new(field.name.start(), fault);
            match field.known {
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
        self.line.push_str(Span::new(0, self.target.end()).text(head));
        let target = Target::parse(self.method.of_text(&self.line), self.target.of_text(&self.line))
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
        let written = self.host_field.map(|span| span.of(head));
        self.host_is_as_written = written == Some(self.host.as_bytes());
        Ok(())
    }
}

/// What follows the target: a space, the version, CR LF.
const VERSION_LEN: usize = b" HTTP/1.1\r\n".len();

/// One request head.
#[derive(Clone, Copy, Debug)]
pub struct Request<'b> {
    index: &'b RequestHead,
    head: &'b [u8],
}

impl<'b> Request<'b> {
    /// The method: a token, case-sensitive.
    pub fn method(&self) -> &'b str {
        self.index.method.of_text(&self.index.line)
    }

    /// The target as it was written.
    pub fn raw_target(&self) -> &'b str {
        self.index.target.of_text(&self.index.line)
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

    /// The fields with one of the names that matter to a proxy, in order. Where there are none, none are looked at.
    pub fn fields_known(&self, name: Name) -> impl Iterator<Item = Field<'b>> + use<'b> {
        let head = self.head;
        let fields: &'b [FieldSpan] = if self.index.known.has(name) { &self.index.fields } else { &[] };
        fields.iter().filter(move |field| field.known == name).map(move |field| field.of(head))
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

    /// The host that is meant, as rules compare it: lower case, without port or trailing dot. Empty in HTTP/1.0
    /// without `Host`.
    pub fn host(&self) -> &'b str {
        &self.index.host
    }

    /// The value of `Host` as it was written, or else the authority of an absolute target.
    pub fn authority(&self) -> Option<&'b str> {
        if self.index.host_is_as_written {
            return Some(&self.index.host);
        }
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
