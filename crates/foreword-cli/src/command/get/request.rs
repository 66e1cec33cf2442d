//! From flags to the request that is sent.

use std::fs;
use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use foreword_client::exchange::Request;
use foreword_client::target::Target;

use super::args::RequestArgs;
use super::data::{Form, Piece};

/// What is sent to every URL: files are read once.
#[derive(Debug, Clone)]
pub(super) struct Blueprint {
    method: Option<String>,
    head_only: bool,
    content: Option<Content>,
    /// Fields as they were asked for; a missing value leaves the field out.
    fields: Vec<(String, Option<String>)>,
    user_agent: String,
    authorization: Option<String>,
    cookie: Option<String>,
}

#[derive(Debug, Clone)]
struct Content {
    bytes: Vec<u8>,
    json: bool,
}

impl Blueprint {
    /// Reads the flags, and the files that they name.
    pub(super) fn new(args: &RequestArgs) -> Result<Self, RequestError> {
        if let Some(method) = &args.method
            && !foreword_http1::is_token(method.as_bytes())
        {
            return Err(RequestError::Method(method.clone()));
        }
        let mut fields = Vec::new();
        for text in &args.fields {
            match text.strip_prefix('@') {
                Some(file) => {
                    let text =
                        String::from_utf8(read(file)?).map_err(|_| RequestError::NotText(file.to_owned()))?;
                    for line in text.lines().filter(|line| !line.trim().is_empty()) {
                        fields.extend(field(line)?);
                    }
                }
                None => fields.extend(field(text)?),
            }
        }
        Ok(Self {
            method: args.method.clone(),
            head_only: args.head,
            content: content(&args.data.0)?,
            fields,
            user_agent: clean("--user-agent", args.user_agent.as_deref().unwrap_or(USER_AGENT))?,
            authorization: args.user.as_deref().map(basic),
            cookie: args.cookie.as_deref().map(|cookie| clean("--cookie", cookie)).transpose()?,
        })
    }

    /// The request for one target.
    pub(super) fn request(&self, target: &Target) -> Request {
        let method = match (&self.method, self.head_only, &self.content) {
            (Some(method), _, _) => method.as_str(),
            (None, true, _) => "HEAD",
            (None, false, Some(_)) => "POST",
            (None, false, None) => "GET",
        };
        let user = target.user.as_ref().map(|user| basic(&format!("{}:{}", user.name, user.password)));
        let mut fields = vec![("Host".to_owned(), target.authority())];
        let mut add =
            |name: &str, value: Option<String>| fields.extend(value.map(|value| (name.to_owned(), value)));
        add("Authorization", user.or_else(|| self.authorization.clone()));
        add("User-Agent", Some(self.user_agent.clone()).filter(|name| !name.is_empty()));
        let json = self.content.as_ref().is_some_and(|content| content.json);
        add("Accept", Some(if json { "application/json" } else { "*/*" }.to_owned()));
        add("Cookie", self.cookie.clone());
        if let Some(content) = &self.content {
            let kind = if content.json { "application/json" } else { "application/x-www-form-urlencoded" };
            add("Content-Type", Some(kind.to_owned()));
            add("Content-Length", Some(content.bytes.len().to_string()));
        }
        for (name, value) in &self.fields {
            override_field(&mut fields, name, value.as_deref());
        }
        let body = self.content.as_ref().map(|content| content.bytes.clone()).unwrap_or_default();
        Request { method: method.to_owned(), target: target.path.clone(), fields, body }
    }

    /// After a redirect that asks for something else, RFC 9110 §15.4. A method that was named stays, as in curl.
    pub(super) fn without_content(&mut self) {
        self.content = None;
    }

    /// Credentials are for whom they were given, and for nobody that he points to.
    pub(super) fn without_credentials(&mut self) {
        self.authorization = None;
        self.cookie = None;
        let private = |name: &str| {
            ["authorization", "cookie", "proxy-authorization"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own))
        };
        self.fields.retain(|(name, value)| value.is_none() || !private(name));
    }
}

/// The first one takes the place of what would have been sent anyway, later ones of the same name come beside it.
fn override_field(fields: &mut Vec<(String, String)>, name: &str, value: Option<&str>) {
    let own =
        fields.iter().position(|(present, _)| present.eq_ignore_ascii_case(name) && is_default(present));
    match (own, value) {
        (Some(at), None) => drop(fields.remove(at)),
        (Some(at), Some(value)) => {
            if let Some(place) = fields.get_mut(at) {
                *place = (name.to_owned(), value.to_owned());
            }
        }
        (None, Some(value)) => fields.push((name.to_owned(), value.to_owned())),
        (None, None) => {}
    }
}

fn is_default(name: &str) -> bool {
    ["Host", "Authorization", "User-Agent", "Accept", "Cookie", "Content-Type", "Content-Length"]
        .contains(&name)
}

/// The pieces in their order: `&` in front of each but the first, and nothing in front of JSON.
fn content(pieces: &[Piece]) -> Result<Option<Content>, RequestError> {
    let mut content: Option<Content> = None;
    for piece in pieces {
        let bytes = bytes(piece)?;
        let is_json = piece.form == Form::Json;
        match &mut content {
            None => content = Some(Content { bytes, json: is_json }),
            Some(content) => {
                if !is_json {
                    content.bytes.push(b'&');
                }
                content.bytes.extend(bytes);
                content.json |= is_json;
            }
        }
    }
    Ok(content)
}

/// `@FILE`, `@-`, or the text itself.
fn bytes(piece: &Piece) -> Result<Vec<u8>, RequestError> {
    let file = piece.text.strip_prefix('@').filter(|_| piece.form != Form::Raw);
    let Some(file) = file else { return Ok(piece.text.clone().into_bytes()) };
    let mut bytes = read(file)?;
    if piece.form == Form::Joined {
        bytes.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
    }
    Ok(bytes)
}

fn read(file: &str) -> Result<Vec<u8>, RequestError> {
    let unreadable = |source| RequestError::Read { file: file.to_owned(), source };
    if file == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map_err(unreadable)?;
        return Ok(bytes);
    }
    fs::read(file).map_err(unreadable)
}

/// `Name: value`, `Name:` or `Name;`.
fn field(text: &str) -> Result<Option<(String, Option<String>)>, RequestError> {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name, Some(value.trim()).filter(|value| !value.is_empty())),
        None => match text.strip_suffix(';') {
            Some(name) => (name, Some("")),
            None => return Err(RequestError::Field(text.to_owned())),
        },
    };
    if !foreword_http1::is_token(name.as_bytes()) {
        return Err(RequestError::Field(text.to_owned()));
    }
    let value = value.map(|value| clean(name, value)).transpose()?;
    Ok(Some((name.to_owned(), value)))
}

/// A line end in a value would begin another field.
fn clean(what: &str, value: &str) -> Result<String, RequestError> {
    if value.contains(['\r', '\n', '\0']) {
        return Err(RequestError::LineEnd(what.to_owned()));
    }
    Ok(value.to_owned())
}

fn basic(user: &str) -> String {
    let user = if user.contains(':') { user.to_owned() } else { format!("{user}:") };
    format!("Basic {}", BASE64.encode(user))
}

/// Why a request cannot be made from the flags.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("expected a method that is a token, found `{}`", .0.escape_debug())]
    Method(String),
    #[error("expected `Name: value`, `Name:` or `Name;`, found `{}`", .0.escape_debug())]
    Field(String),
    #[error("expected no line end or NUL in `{0}`")]
    LineEnd(String),
    #[error("expected text in `{0}`")]
    NotText(String),
    #[error("could not read `{file}`")]
    Read { file: String, source: io::Error },
}

const USER_AGENT: &str = concat!("foreword/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use foreword_client::target::Dots;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        request: RequestArgs,
    }

    fn head(flags: &[&str]) -> String {
        let flags = Flags::try_parse_from([&["get"], flags].concat()).expect("sound flags");
        let target = Target::parse("http://u:p@h:81/x", Dots::Resolve).expect("a target");
        let request = Blueprint::new(&flags.request).expect("a request").request(&target);
        String::from_utf8([request.head(), request.body].concat()).expect("text")
    }

    #[test]
    fn a_plain_request_is_what_curl_would_send() {
        let agent = USER_AGENT;
        let expected = format!(
            "GET /x HTTP/1.1\r\nHost: h:81\r\nAuthorization: Basic dTpw\r\nUser-Agent: {agent}\r\nAccept: */*\r\n\r\n"
        );
        assert_eq!(head(&[]), expected);
    }

    #[test]
    fn fields_replace_leave_out_and_add() {
        let head =
            head(&["-H", "host: other", "-H", "Accept:", "-H", "X;", "-H", "Y: 1", "-H", "Y: 2", "-A", ""]);
        assert_eq!(
            head,
            "GET /x HTTP/1.1\r\nhost: other\r\nAuthorization: Basic dTpw\r\nX: \r\nY: 1\r\nY: 2\r\n\r\n"
        );
    }

    #[test]
    fn data_is_posted_and_json_is_named_json() {
        let posted = head(&["-d", "a=1", "-d", "b=2"]);
        assert!(
            posted.starts_with("POST ") && posted.ends_with("Content-Length: 7\r\n\r\na=1&b=2"),
            "{posted}"
        );
        let mixed = head(&["--data-raw", "@a", "-d", "b", "--data-binary", "c"]);
        assert!(mixed.ends_with("\r\n\r\n@a&b&c"), "in the order in which they were given: {mixed}");
        let json = head(&["--json", "{\"a\":", "--json", "1}"]);
        assert!(json.contains("Accept: application/json\r\nContent-Type: application/json\r\n"), "{json}");
        assert!(json.ends_with("\r\n\r\n{\"a\":1}"));
    }

    #[test]
    fn a_field_cannot_smuggle_another() {
        let flags = Flags::try_parse_from(["get", "-H", "X: a\r\nY: b"]).expect("flags");
        assert!(matches!(Blueprint::new(&flags.request), Err(RequestError::LineEnd(name)) if name == "X"));
    }
}
