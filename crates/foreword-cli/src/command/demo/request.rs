//! The demo's own request: what a client behind a balancer would send, with its answer as text.

use std::io;
use std::time::Duration;

use foreword::Version;
use foreword_client::connect::{Resolve, Route, RouteError};
use foreword_client::connection::{Connection, Dial, OpenError};
use foreword_client::exchange::{ExchangeError, Request, Sink};
use foreword_client::introduction::{End, EndError, Introduction, SpeaksFor};
use foreword_client::target::{Dots, Target, TargetError};
use foreword_client::tls::{Tls, TlsSettings, Verify};
use foreword_client::transcript::Silent;
use foreword_http1::Response;
use tokio::time::Instant;

use super::page::CLIENT;

/// Everything is on this machine: what takes longer has gone wrong.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why the demo's request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("expected a URL")]
    Target(#[from] TargetError),
    #[error("expected a client's address")]
    Source(#[from] EndError),
    #[error("expected a place to connect to")]
    Route(#[from] RouteError),
    #[error("expected a connection to the balancer")]
    Open(#[from] OpenError),
    #[error("expected an answer")]
    Exchange(#[from] ExchangeError),
}

/// Asks for `url` as [`CLIENT`], and gives back the answer's head and content.
pub(super) async fn get(url: &str) -> Result<String, RequestError> {
    let target = Target::parse(url, Dots::Resolve)?;
    let dial = Dial {
        // Where the balancer is, whatever this machine calls localhost.
        route: Route {
            resolve: vec![format!("localhost:{}:127.0.0.1", target.port).parse::<Resolve>()?],
            ..Route::default()
        },
        introduction: Some(Introduction {
            version: Version::Two,
            speaks_for: SpeaksFor::Client { source: Some(CLIENT.parse::<End>()?), destination: None },
            datagram: false,
            tlvs: Vec::new(),
            checksum: true,
        }),
        inside_tls: false,
        // The certificate was made a moment ago, and nobody vouches for it.
        tls: Tls::new(TlsSettings { verify: Verify::Nothing, ..TlsSettings::default() }),
        connect_timeout: TIMEOUT,
        silence: TIMEOUT,
        deadline: Some(Instant::now() + TIMEOUT),
    };
    let request = Request {
        method: "GET".to_owned(),
        target: "/".to_owned(),
        fields: vec![
            ("Host".to_owned(), target.authority()),
            ("User-Agent".to_owned(), concat!("foreword/", env!("CARGO_PKG_VERSION")).to_owned()),
            ("Connection".to_owned(), "close".to_owned()),
        ],
        body: Vec::new(),
    };
    let mut connection = Connection::open(&target, &dial, &mut Silent).await?;
    let mut answer = Text::default();
    connection.exchange(&request, &dial, &mut answer, &mut Silent).await?;
    Ok(String::from_utf8_lossy(&answer.0).into_owned())
}

/// An answer as it would be read.
#[derive(Default)]
struct Text(Vec<u8>);

impl Sink for Text {
    fn head(&mut self, head: &[u8], _: &Response<'_>) -> io::Result<()> {
        self.0.extend_from_slice(head);
        Ok(())
    }

    fn body(&mut self, piece: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(piece);
        Ok(())
    }

    fn pause(&mut self) -> io::Result<()> {
        Ok(())
    }
}
