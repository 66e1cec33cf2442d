//! How a transfer ended, in curl's numbers and in words.

use std::io;

use foreword_client::connect::ConnectError;
use foreword_client::connection::OpenError;
use foreword_client::diagnosis::{Diagnosis, Verdict};
use foreword_client::exchange::ExchangeError;
use foreword_client::patience::Limit;
use foreword_client::target::TargetError;
use foreword_client::tls::{TlsError, TlsSetupError};
use foreword_client::transcript::Ending;

use crate::output::chain;

/// How a transfer ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) exit: u8,
    pub(super) message: Option<String>,
    pub(super) hint: Option<String>,
    /// Whether nobody reads standard output any more.
    pub(super) reader_gone: bool,
}

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the URL is malformed")]
    Url(#[source] TargetError),
    #[error("the redirect to `{}` cannot be followed", .location.escape_debug())]
    Location { location: String, source: TargetError },
    #[error("expected at most {0} redirects, found one more")]
    Redirects(u32),
    #[error(transparent)]
    Open(OpenError),
    #[error(transparent)]
    Exchange(ExchangeError),
    #[error("the peer answered {0}")]
    Status(u16),
    #[error("could not write the answer")]
    Write(#[source] io::Error),
    #[error("the header was not read as one")]
    Header,
}

impl Trouble {
    /// The end of a transfer that failed so, with what else was found out.
    pub(super) fn end(self, diagnosis: Option<Diagnosis>) -> Ended {
        let exit = self.exit();
        let Some(Diagnosis { verdict, message, hint }) = diagnosis else {
            let hint = self.hint().map(str::to_owned);
            return Ended { exit, message: Some(chain(&self)), hint, reader_gone: false };
        };
        let exit = match verdict {
            Some(Verdict::Refused) => REFUSED_HEADER,
            Some(Verdict::NotExpected) => EXPECTED_NO_HEADER,
            None => exit,
        };
        Ended { exit, message: Some(message), hint, reader_gone: false }
    }

    /// Whether it is that nobody reads standard output any more: no news to whoever closed it.
    pub(super) fn is_closed_pipe(&self) -> bool {
        let (Self::Write(error) | Self::Exchange(ExchangeError::Sink(error))) = self else { return false };
        error.kind() == io::ErrorKind::BrokenPipe
    }

    fn exit(&self) -> u8 {
        match self {
            Self::Url(TargetError::Scheme(_)) | Self::Location { source: TargetError::Scheme(_), .. } => {
                UNSUPPORTED
            }
            Self::Url(_) | Self::Location { .. } => BAD_URL,
            Self::Redirects(_) => REDIRECTS,
            Self::Open(error) => of_open(error),
            Self::Exchange(error) => of_exchange(error),
            Self::Status(_) => STATUS,
            Self::Write(_) => WRITE,
            Self::Header => EXPECTED_NO_HEADER,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Open(OpenError::Tls { error, .. })
            | Self::Exchange(ExchangeError::Receive { error, .. }) => error.hint(),
            Self::Open(OpenError::Connect(ConnectError::Connect { .. })) => {
                Some("is anything listening there? `ss -ltn` on that machine tells")
            }
            Self::Open(OpenError::SlowConnect { overdue, .. } | OpenError::SlowTls { overdue, .. })
            | Self::Exchange(
                ExchangeError::Silent { overdue, .. } | ExchangeError::SilentBody { overdue, .. },
            ) => more_time(overdue.limit),
            _ => None,
        }
    }
}

/// The flag that gives more time; for silence there is none.
fn more_time(limit: Limit) -> Option<&'static str> {
    match limit {
        Limit::Connect => Some("`--connect-timeout SECONDS` gives it more time"),
        Limit::Deadline => Some("`--max-time SECONDS` gives it more time"),
        Limit::Silence => None,
    }
}

fn of_open(error: &OpenError) -> u8 {
    match error {
        OpenError::Connect(ConnectError::Resolve { .. } | ConnectError::NoAddress { .. }) => RESOLVE,
        OpenError::Connect(_) => CONNECT,
        OpenError::SlowConnect { .. } | OpenError::SlowTls { .. } => TIMEOUT,
        OpenError::Introduction(_) => USAGE,
        OpenError::Tls { error: TlsError::Certificate(_), .. } => PEER_CERTIFICATE,
        OpenError::TlsSetup(TlsSetupError::Identity(_)) => BAD_CERTIFICATE,
        OpenError::TlsSetup(TlsSetupError::Provider(_)) => TLS,
        OpenError::TlsSetup(_) => BAD_CA,
        _ => TLS,
    }
}

fn of_exchange(error: &ExchangeError) -> u8 {
    match error {
        ExchangeError::NoAnswer { evidence } if evidence.heard.ending == Some(Ending::Reset) => RECEIVE,
        ExchangeError::NoAnswer { .. } => EMPTY_REPLY,
        ExchangeError::NotHttp { .. } => UNSUPPORTED,
        ExchangeError::Head { .. } => WEIRD_REPLY,
        ExchangeError::Silent { .. } | ExchangeError::SilentBody { .. } => TIMEOUT,
        ExchangeError::BodyCut { ending: Ending::Closed, .. } => PARTIAL,
        ExchangeError::BodyCut { ending: Ending::Torn, expected: Some(_), .. } => PARTIAL,
        ExchangeError::Sink(_) => WRITE,
        _ => RECEIVE,
    }
}

// curl's numbers, as its manual lists them.
const UNSUPPORTED: u8 = 1;
const USAGE: u8 = 2;
const BAD_URL: u8 = 3;
const RESOLVE: u8 = 6;
const CONNECT: u8 = 7;
const WEIRD_REPLY: u8 = 8;
const PARTIAL: u8 = 18;
const STATUS: u8 = 22;
pub(super) const WRITE: u8 = 23;
pub(super) const READ: u8 = 26;
const TIMEOUT: u8 = 28;
const TLS: u8 = 35;
const REDIRECTS: u8 = 47;
pub(super) const BAD_OPTION: u8 = 49;
const EMPTY_REPLY: u8 = 52;
const RECEIVE: u8 = 56;
pub(super) const BAD_CERTIFICATE: u8 = 58;
const PEER_CERTIFICATE: u8 = 60;
pub(super) const BAD_CA: u8 = 77;

// Our own, beyond all of curl's.
const REFUSED_HEADER: u8 = 110;
const EXPECTED_NO_HEADER: u8 = 111;
