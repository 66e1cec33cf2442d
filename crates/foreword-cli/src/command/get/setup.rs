//! All that is settled before the first transfer: the request, the header, TLS, and where connections go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use foreword_client::connect::{Family, Resolve, Route, RouteError};
use foreword_client::connection::Dial;
use foreword_client::target::Dots;
use foreword_client::tls::{Tls, TlsSettings, Verify};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::args::{ConnectionArgs, GetArgs, source_of};
use super::report::{BAD_CA, BAD_CERTIFICATE, BAD_OPTION, READ};
use super::request::{Blueprint, RequestError};
use crate::output::{Exit, Failure};

/// What all transfers share.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) args: GetArgs,
    pub(super) dial: Dial,
    pub(super) blueprint: Blueprint,
    /// `--write-out`, read from its file if it is in one.
    pub(super) write_out: Option<String>,
}

impl Session {
    pub(super) fn new(args: GetArgs) -> Result<Self, Failure> {
        let introduction = args.introduction().map_err(|error| Failure::new(Exit::NOT_ASKED, error))?;
        let blueprint = Blueprint::new(&args.request).map_err(|error| {
            let exit =
                if matches!(error, RequestError::Read { .. }) { Exit::code(READ) } else { Exit::NOT_ASKED };
            Failure::new(exit, error)
        })?;
        let connection = &args.connection;
        let source = source_of(introduction.as_ref());
        let route = Route {
            resolve: resolve(&connection.resolve)?,
            connect_to: connection.connect_to.clone(),
            // A header's two addresses are of one family; better the connection's own than a mapped one.
            prefer: source.map(Family::of),
            only: match (connection.ipv4, connection.ipv6) {
                (true, _) => Some(Family::Inet),
                (false, true) => Some(Family::Inet6),
                (false, false) => None,
            },
        };
        let dial = Dial {
            route,
            introduction,
            inside_tls: args.inside_tls,
            tls: Tls::new(tls(connection)?),
            connect_timeout: Some(connection.connect_timeout)
                .filter(|time| !time.is_zero())
                .unwrap_or(CONNECT_TIMEOUT),
            silence: SILENCE,
            deadline: None,
        };
        let write_out = args.answer.write_out.as_deref().map(format).transpose()?;
        Ok(Self { dial, blueprint, write_out, args })
    }

    pub(super) fn dots(&self) -> Dots {
        if self.args.request.path_as_is { Dots::Keep } else { Dots::Resolve }
    }
}

/// `--resolve` has a number of its own in curl.
fn resolve(entries: &[String]) -> Result<Vec<Resolve>, Failure> {
    let wrong = |error| Failure::new(Exit::code(BAD_OPTION), ResolveError(error));
    entries.iter().map(|entry| entry.parse().map_err(wrong)).collect()
}

fn tls(args: &ConnectionArgs) -> Result<TlsSettings, Failure> {
    let verify = match &args.cacert {
        _ if args.insecure => Verify::Nothing,
        Some(file) => {
            Verify::Bundle(certificates(file).map_err(|error| Failure::new(Exit::code(BAD_CA), error))?)
        }
        None => Verify::Platform,
    };
    let identity = match &args.cert {
        None => None,
        Some(file) => {
            let wrong = |error| Failure::new(Exit::code(BAD_CERTIFICATE), error);
            let key = args.key.as_deref().unwrap_or(file);
            Some((certificates(file).map_err(wrong)?, private_key(key).map_err(wrong)?))
        }
    };
    let key_log = std::env::var_os("SSLKEYLOGFILE").is_some_and(|file| !file.is_empty());
    Ok(TlsSettings { verify, identity, key_log })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let wrong = |source| PemError { file: file.to_owned(), what: "a certificate", source };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => Err(wrong(pem::Error::NoItemsFound)),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(error)),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_file(file).map_err(|source| PemError {
        file: file.to_owned(),
        what: "a private key",
        source,
    })
}

/// `--write-out`: the text itself, or `@FILE`.
fn format(text: &str) -> Result<String, Failure> {
    let Some(file) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    let read = if file == "-" { io::read_to_string(io::stdin()) } else { fs::read_to_string(file) };
    read.map_err(|source| {
        Failure::new(Exit::code(READ), RequestError::Read { file: file.to_owned(), source })
    })
}

#[derive(Debug, thiserror::Error)]
#[error("could not read `--resolve`")]
struct ResolveError(#[source] RouteError);

#[derive(Debug, thiserror::Error)]
#[error("expected {what} in PEM in `{}`", file.display())]
struct PemError {
    file: PathBuf,
    what: &'static str,
    source: pem::Error,
}

/// What `--connect-timeout 0` stands for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that says nothing for so long has forgotten us.
const SILENCE: Duration = Duration::from_secs(300);
