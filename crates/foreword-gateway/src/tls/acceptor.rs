//! The handshake with who came: over in time, or refused with the cause by name.

use std::io;

use foreword::Looks;
use rustls::server::Acceptor;
use rustls::{
    AlertDescription, CertificateError, CipherSuite, HandshakeKind, NamedGroup, PeerIncompatible,
    ProtocolVersion, ServerConnection,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::challenges::Challenges;
use super::{TlsPlan, clients};
use crate::policy::facts::TlsFacts;
use crate::refusal::Code;
use crate::stream::gathering::{Ends, Gathering};
use crate::stream::linger::{LAST_WORDS, close_lingering};

/// Why a handshake did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsRefusal {
    /// A browser or tool that was told `http://`.
    #[error("expected a TLS handshake, found a plain HTTP request")]
    Http,
    /// A header after the header, or a header that nobody here believes.
    #[error("expected a TLS handshake, found a PROXY header{}", if *.second { " after the first" } else { "" })]
    Header {
        /// Whether one had been read before.
        second: bool,
    },
    /// Neither TLS nor anything else that we know.
    #[error("expected a TLS handshake, found `{}`", .0.escape_ascii())]
    Bytes(Box<[u8]>),
    /// A ClientHello without an end.
    #[error("expected a ClientHello within {most} bytes, found more")]
    HelloTooLong {
        /// What is read at most.
        most: usize,
    },
    /// A name that no certificate has, where one must.
    #[error("expected an SNI that a certificate has, found {}", .0.as_deref().map_or("none".to_owned(), |name| format!("`{name}`")))]
    UnknownName(Option<Box<str>>),
    /// A name whose certificate a CA has not issued yet.
    #[error("the certificate for {} is not there yet: the CA has not issued it", .0.as_deref().map_or("clients without SNI".to_owned(), |name| format!("`{name}`")))]
    AwaitedName(Option<Box<str>>),
    /// No client: a CA that looked whose the name is, and was shown.
    #[error("a CA looked whose the name is")]
    Challenged,
    /// TLS, but no agreement.
    #[error("the TLS handshake failed: {}", reason(.0))]
    Failed(rustls::Error),
    /// No end in time.
    #[error("expected a TLS handshake within `timeout.tls`, found {}", if *.begun { "one that was not finished" } else { "silence" })]
    Deadline {
        /// Whether any of it had come.
        begun: bool,
    },
    /// The client went away inside the handshake.
    #[error("the connection was closed inside the TLS handshake")]
    Closed,
    /// The client went away before it said anything.
    #[error("the connection was closed before the TLS handshake")]
    Silent,
    /// The connection broke.
    #[error("the connection broke inside the TLS handshake")]
    Io(#[source] io::Error),
}

impl TlsRefusal {
    pub(super) fn bytes(first: &[u8]) -> Self {
        Self::Bytes(first.iter().copied().take(SHOWN).collect())
    }

    pub(crate) fn code(&self) -> Option<Code> {
        Some(match self {
            Self::Http => Code::HttpForTls,
            Self::Header { second: true } => Code::SecondHeader,
            Self::Header { second: false } => Code::HeaderForbidden,
            Self::Bytes(_) => Code::BytesForTls,
            Self::Failed(rustls::Error::NoCertificatesPresented) => Code::NoClientCertificate,
            Self::Failed(rustls::Error::InvalidCertificate(_)) => Code::ClientCertificate,
            Self::UnknownName(_) => Code::UnknownSni,
            Self::AwaitedName(_) => Code::CertificateAwaited,
            Self::Failed(_) | Self::HelloTooLong { .. } => Code::HandshakeFailed,
            Self::Deadline { .. } => Code::HandshakeDeadline,
            Self::Closed | Self::Io(_) => Code::HandshakeCutShort,
            // Whoever connects and leaves is a probe.
            Self::Silent | Self::Challenged => return None,
        })
    }
}

/// Makes the handshake over a stream of which `first` was read already, until `deadline` at the latest.
///
/// The stream is boxed, since a session is large and the futures of connections without TLS hold room for whatever those with
/// TLS do. `headed` says whether a PROXY header was read before, for the name of what comes if it is no TLS; `answers`, whether
/// whoever speaks first gets an answer.
pub(crate) async fn accept<S: Ends>(
    (plan, challenges): (&TlsPlan, &Challenges),
    mut stream: S,
    mut first: Vec<u8>,
    headed: bool,
    answers: bool,
    deadline: Instant,
) -> Result<(Box<TlsStream<Gathering<S>>>, TlsFacts), TlsRefusal> {
    match timeout_at(deadline, look_first(&mut stream, &mut first, headed)).await {
        Ok(looked) => looked?,
        Err(_) if first.is_empty() => return Err(TlsRefusal::Deadline { begun: false }),
        Err(_) => return Err(TlsRefusal::bytes(&first)),
    }
    let stream = Gathering::new(stream, first);
    let made = async {
        let mut stream = if plan.must_know_the_name() || challenges.may_come_by_tls() {
            accept_named(plan, challenges, stream).await?
        } else {
            accept_any(plan, stream).await?
        };
        give_tickets(&mut stream, answers).await.map_err(|error| (TlsRefusal::Io(error), None))?;
        Ok(stream)
    };
    match timeout_at(deadline, made).await {
        Ok(Ok(stream)) => {
            let facts = facts(stream.get_ref().1, plan);
            Ok((Box::new(stream), facts))
        }
        Ok(Err((refusal, stream))) => {
            // Our alert tells the client what was wrong, if it lives to read it.
            if let Some(mut stream) = stream {
                close_lingering(&mut stream, LAST_WORDS).await;
            }
            Err(refusal)
        }
        Err(_) => Err(TlsRefusal::Deadline { begun: true }),
    }
}

/// Why there is no session, and the stream over which the client was told.
type Unmade<S> = (TlsRefusal, Option<S>);

async fn accept_any<S: Ends>(
    plan: &TlsPlan,
    stream: Gathering<S>,
) -> Result<TlsStream<Gathering<S>>, Unmade<Gathering<S>>> {
    let made = TlsAcceptor::from(plan.config()).accept(stream).into_fallible().await;
    made.map_err(|(error, stream)| (refusal(error), Some(stream)))
}

/// Sends the tickets: with the answer where the client has asked already, since a packet of their own costs more than they
/// do, else at once.
async fn give_tickets<S: Ends>(stream: &mut TlsStream<Gathering<S>>, answers: bool) -> io::Result<()> {
    let (ground, session) = stream.get_mut();
    ground.give_with_next();
    // Before TLS 1.3 it is the end of the handshake that waits here, and the client may wait for that alone.
    let are_tickets = session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    // It wants nothing more from the socket while it has something for us.
    if answers && are_tickets && !session.wants_read() {
        return Ok(());
    }
    stream.flush().await
}

/// Goes on only with who asks for a name that is served. A CA that looks whose a name is is shown.
async fn accept_named<S: Ends>(
    plan: &TlsPlan,
    challenges: &Challenges,
    stream: Gathering<S>,
) -> Result<TlsStream<Gathering<S>>, Unmade<Gathering<S>>> {
    let mut begun = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let mut started = match (&mut begun).await {
        Ok(started) => started,
        Err(error) => return Err((refusal(error), begun.take_io())),
    };
    let hello = started.client_hello();
    let asked = hello.alpn().and_then(|protocols| challenges.by_tls(hello.server_name(), protocols));
    if let Some(config) = asked {
        // What the CA came for is the certificate. Whether it saw it, it tells whoever asked for one; but it believes none
        // without the end of the handshake, which may still be ours to say.
        return match started.into_stream(config).into_fallible().await {
            Ok(mut seen) => {
                close_lingering(&mut seen, LAST_WORDS).await;
                Err((TlsRefusal::Challenged, None))
            }
            Err((_, stream)) => Err((TlsRefusal::Challenged, Some(stream))),
        };
    }
    if let Some(refusal) = plan.refusal(hello.server_name()) {
        // Whether it arrives or not, the connection is refused.
        let _gone = started.io.write_all(UNRECOGNIZED_NAME).await;
        return Err((refusal, Some(started.io)));
    }
    let made = started.into_stream(plan.config()).into_fallible().await;
    made.map_err(|(error, stream)| (refusal(error), Some(stream)))
}

/// Makes sure that what came begins like TLS; what it is instead is named.
pub(super) async fn look_first<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    first: &mut Vec<u8>,
    headed: bool,
) -> Result<(), TlsRefusal> {
    while first.is_empty() {
        match read_more(stream, first).await {
            Ok(Some(())) => {}
            // A health check says nothing after its header, and some reset the connection to be done sooner.
            Ok(None) | Err(_) => return Err(TlsRefusal::Silent),
        }
    }
    if first.first() == Some(&HANDSHAKE) {
        return Ok(());
    }
    loop {
        match foreword::looks_like(first) {
            Looks::Http | Looks::Http2Preface => {
                // Whether it arrives or not, the connection is refused.
                let _gone = stream.write_all(PLAIN_HTTP).await;
                close_lingering(stream, LAST_WORDS).await;
                return Err(TlsRefusal::Http);
            }
            Looks::ProxyV1 | Looks::ProxyV2 => return Err(TlsRefusal::Header { second: headed }),
            _ if first.len() >= ENOUGH => break,
            _ => {}
        }
        if read_more(stream, first).await?.is_none() {
            break;
        }
    }
    Err(TlsRefusal::bytes(first))
}

/// Reads once. Nothing is said about the end of the stream but that it came.
pub(super) async fn read_more(
    stream: &mut (impl AsyncRead + Unpin),
    first: &mut Vec<u8>,
) -> Result<Option<()>, TlsRefusal> {
    first.reserve(FIRST_READ);
    let read = stream.read_buf(first).await.map_err(TlsRefusal::Io)?;
    Ok((read > 0).then_some(()))
}

fn refusal(error: io::Error) -> TlsRefusal {
    let kind = error.kind();
    match error.downcast::<rustls::Error>() {
        Ok(error) => TlsRefusal::Failed(error),
        Err(_) if kind == io::ErrorKind::UnexpectedEof => TlsRefusal::Closed,
        Err(error) => TlsRefusal::Io(error),
    }
}

fn facts(session: &ServerConnection, plan: &TlsPlan) -> TlsFacts {
    let leaf = session.peer_certificates().and_then(<[_]>::first);
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    TlsFacts {
        sni: session.server_name().map(Into::into),
        alpn: session.alpn_protocol().map(Into::into),
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        cipher: session.negotiated_cipher_suite().map_or("", |suite| cipher_name(suite.suite())),
        group: session.negotiated_key_exchange_group().and_then(|group| group_name(group.name())),
        client: leaf.map(|leaf| Box::new(clients::facts(leaf, resumed))),
        certificate: plan.certificates().facts(session.server_name()),
    }
}

/// The name that the IANA gives it, where rustls spells it otherwise or not at all.
fn group_name(group: NamedGroup) -> Option<&'static str> {
    match group {
        NamedGroup::X25519 => Some("x25519"),
        NamedGroup::X448 => Some("x448"),
        group => group.as_str(),
    }
}

/// The name that the IANA gives it; rustls spells those of TLS 1.3 otherwise.
fn cipher_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or("unknown"),
    }
}

/// Says in words why there was no agreement, and whose doing it was.
fn reason(error: &rustls::Error) -> String {
    use PeerIncompatible as Peer;
    match error {
        rustls::Error::AlertReceived(alert) => match alert_in_words(*alert) {
            Some(words) => format!("the client {words} (its alert: {alert:?})"),
            None => format!("the client ended it with the alert {alert:?}"),
        },
        rustls::Error::PeerIncompatible(incompatible) => match incompatible {
            Peer::NoCipherSuitesInCommon => "no cipher suite in common".to_owned(),
            Peer::NoKxGroupsInCommon | Peer::NamedGroupsExtensionRequired => {
                "no key exchange in common".to_owned()
            }
            Peer::NoSignatureSchemesInCommon => {
                "the client takes no signature that our certificate's key can make".to_owned()
            }
            // Who names no signatures is older than TLS 1.2, whatever version it claims.
            Peer::SignatureAlgorithmsExtensionRequired | Peer::Tls12NotOffered => {
                "no version in common: the client offers neither TLS 1.2 nor 1.3".to_owned()
            }
            Peer::Tls12NotOfferedOrEnabled
            | Peer::ServerTlsVersionIsDisabledByOurConfig
            | Peer::SupportedVersionsExtensionRequired => {
                "no version in common: the client offers none that is in the `profile` of this listener"
                    .to_owned()
            }
            other => format!("the client lacks what we need: {other:?}"),
        },
        rustls::Error::NoCertificatesPresented => {
            "expected a certificate of the client, found none".to_owned()
        }
        rustls::Error::InvalidCertificate(why) => in_words(why),
        rustls::Error::NoApplicationProtocol => {
            "no protocol in common: by ALPN the client offers none of ours".to_owned()
        }
        other => other.to_string(),
    }
}

/// Says in words why a client's certificate is not accepted.
fn in_words(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => "nobody in `ca` signed the client's certificate".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the client's certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the client's certificate is not valid yet".to_owned()
        }
        CertificateError::Revoked => "the client's certificate is revoked".to_owned(),
        CertificateError::UnknownRevocationStatus => {
            "no list in `crl` is of those who signed the client's certificate".to_owned()
        }
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the list in `crl` that is about the client's certificate should have been replaced by now"
                .to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the client's certificate is not made for clients".to_owned()
        }
        other => format!("the client's certificate cannot be believed: {other}"),
    }
}

fn alert_in_words(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::UnknownCA => "does not know who signed our certificate",
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            "does not accept our certificate"
        }
        AlertDescription::CertificateExpired => "finds our certificate expired",
        AlertDescription::CertificateRevoked => "finds our certificate revoked",
        AlertDescription::UnsupportedCertificate => "cannot use our kind of certificate",
        AlertDescription::ProtocolVersion => "wants another version of TLS",
        AlertDescription::HandshakeFailure => "found nothing in common with us",
        AlertDescription::UserCanceled | AlertDescription::CloseNotify => "changed its mind",
        AlertDescription::UnrecognisedName => "does not know the name of our certificate",
        _ => return None,
    })
}

/// The first byte of a handshake record, RFC 8446 §5.1.
const HANDSHAKE: u8 = 0x16;

/// A fatal alert that says `unrecognized_name`, RFC 6066 §3, before anything else was agreed on.
const UNRECOGNIZED_NAME: &[u8] = &[0x15, 3, 3, 0, 2, 2, 112];

/// Most ClientHellos come with one read of this.
const FIRST_READ: usize = 2048;

/// What can be named, `foreword::looks_like` has named by then: the preface of HTTP/2 is the longest, 24 bytes.
const ENOUGH: usize = 24;

/// How much of what nobody knows goes into the log.
const SHOWN: usize = 32;

/// Plain as the request. What is said to strangers is no more than the status and what every browser says by itself.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 45\r\n\
    Connection: close\r\n\r\n\
    client sent an HTTP request to an HTTPS port\n";

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;
    use tokio_rustls::TlsConnector;

    use super::super::certificates::{CertificateSource, load};
    use super::super::{Terms, provider};
    use super::*;
    use crate::stream::Stream;
    use crate::stream::tcp::Tcp;

    const NAME: &str = "www.example.test";

    /// Only what fails takes so long.
    const LONG: Duration = Duration::from_secs(20);

    fn plan() -> TlsPlan {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pem");
        std::fs::write(&file, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
        let source = CertificateSource::Directory(folder.path().to_owned());
        let store = load(&source.into(), SystemTime::now()).unwrap();
        TlsPlan::new(store, &[], Terms::default()).unwrap()
    }

    /// Believes anyone. What rustls would look at signatures with refuses the certificate of a challenge, as RFC 8737 means
    /// it to.
    #[derive(Debug)]
    struct Anyone;

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    }

    /// Speaks TLS 1.2 alone.
    fn older(protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    fn name() -> ServerName<'static> {
        NAME.try_into().unwrap()
    }

    async fn ends() -> (TcpStream, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, Stream::Tcp(Tcp::accepted(listener.accept().await.unwrap().0)))
    }

    /// Sends what the session has to say.
    async fn say(session: &mut ClientConnection, stream: &mut TcpStream) {
        let mut said = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut said).unwrap();
        }
        stream.write_all(&said).await.unwrap();
    }

    /// Has the session hear what comes next.
    async fn hear(session: &mut ClientConnection, stream: &mut TcpStream) {
        let mut came = vec![0; 1 << 14];
        let len = timeout(LONG, stream.read(&mut came)).await.expect("something comes").unwrap();
        assert!(len > 0, "the stream ended inside the handshake");
        let mut came = &came[..len];
        while !came.is_empty() {
            session.read_tls(&mut came).unwrap();
            session.process_new_packets().unwrap();
        }
    }

    #[tokio::test]
    async fn a_ca_that_speaks_tls_1_2_sees_the_handshake_end() {
        let (plan, challenges) = (plan(), Arc::<Challenges>::default());
        let _open = challenges.answer_tls(NAME, &[7; 32]).unwrap();
        let (stream, ours) = ends().await;
        let accepting = accept((&plan, &challenges), ours, Vec::new(), false, false, Instant::now() + LONG);
        let looking = async {
            let connector = TlsConnector::from(older(&[b"acme-tls/1"]));
            let mut seen = connector.connect(name(), stream).await.unwrap();
            assert_eq!(seen.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_2));
            assert_eq!(seen.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
            assert_eq!(seen.read(&mut [0]).await.unwrap(), 0, "it ends with the alert that says so");
        };
        let (accepted, ()) = tokio::join!(accepting, looking);
        assert!(matches!(accepted, Err(TlsRefusal::Challenged)), "{accepted:?}");
    }

    #[tokio::test]
    async fn a_ca_that_breaks_the_handshake_off_course_is_told() {
        let (plan, challenges) = (plan(), Arc::<Challenges>::default());
        let _open = challenges.answer_tls(NAME, &[7; 32]).unwrap();
        let (mut stream, ours) = ends().await;
        let accepting = accept((&plan, &challenges), ours, Vec::new(), false, false, Instant::now() + LONG);
        let looking = async {
            let mut session = ClientConnection::new(older(&[b"acme-tls/1"]), name()).unwrap();
            say(&mut session, &mut stream).await;
            hear(&mut session, &mut stream).await;
            // A ServerHelloDone, which is not for clients to say.
            stream.write_all(&[HANDSHAKE, 3, 3, 0, 4, 14, 0, 0, 0]).await.unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            drop(stream);
            rest
        };
        let (accepted, rest) = tokio::join!(accepting, looking);
        assert!(matches!(accepted, Err(TlsRefusal::Challenged)), "{accepted:?}");
        assert!(rest.ends_with(&[0x15, 3, 3, 0, 2, 2, 10]), "no `unexpected_message` in {rest:?}");
    }

    #[tokio::test]
    async fn the_end_of_a_handshake_of_tls_1_2_waits_for_no_answer() {
        let (plan, challenges) = (plan(), Challenges::default());
        let (mut stream, ours) = ends().await;
        let accepting = accept((&plan, &challenges), ours, Vec::new(), false, true, Instant::now() + LONG);
        let agreeing = async {
            let mut session = ClientConnection::new(older(&[]), name()).unwrap();
            say(&mut session, &mut stream).await;
            while !session.wants_write() {
                hear(&mut session, &mut stream).await;
            }
            // As with a false start, there is more for us behind the end of its handshake.
            session.send_close_notify();
            say(&mut session, &mut stream).await;
            while session.is_handshaking() {
                hear(&mut session, &mut stream).await;
            }
        };
        let (accepted, ()) = tokio::join!(accepting, agreeing);
        assert_eq!(accepted.unwrap().1.version, "TLSv1.2");
    }
}
