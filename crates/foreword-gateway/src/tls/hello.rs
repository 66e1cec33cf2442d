//! The ClientHello of a handshake that passes through: read for the sake of rules, and left as it is.

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::acceptor::{TlsRefusal, look_first, read_more};
use crate::policy::facts::HelloFacts;

/// Reads until the ClientHello is whole, until `deadline` at the latest. What was read stays in `first`, untouched.
///
/// `headed` says whether a PROXY header was read before, for the name of what comes if it is no TLS.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    first: &mut Vec<u8>,
    headed: bool,
    deadline: Instant,
) -> Result<HelloFacts, TlsRefusal> {
    match timeout_at(deadline, look_first(stream, first, headed)).await {
        Ok(looked) => looked?,
        Err(_) if first.is_empty() => return Err(TlsRefusal::Deadline { begun: false }),
        Err(_) => return Err(TlsRefusal::bytes(first)),
    }
    let mut reader = Reader { acceptor: Acceptor::default(), read: 0 };
    loop {
        match reader.take(first) {
            Ok(Some(hello)) => return Ok(hello),
            Ok(None) if first.len() >= MOST => return Err(TlsRefusal::HelloTooLong { most: MOST }),
            Ok(None) => {}
            Err((error, alert)) => {
                // Whether the alert arrives or not, the connection is refused.
                let _gone = timeout_at(deadline, stream.write_all(&alert)).await;
                return Err(TlsRefusal::Failed(error));
            }
        }
        match timeout_at(deadline, read_more(stream, first)).await {
            Ok(Ok(Some(()))) => {}
            Ok(Ok(None)) => return Err(TlsRefusal::Closed),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(TlsRefusal::Deadline { begun: true }),
        }
    }
}

/// Reads each byte once, however they are split.
struct Reader {
    acceptor: Acceptor,
    read: usize,
}

impl Reader {
    /// Reads what is new. `None` where the ClientHello is not whole; an error comes with the alert that says so.
    fn take(&mut self, first: &[u8]) -> Result<Option<HelloFacts>, (rustls::Error, Vec<u8>)> {
        let mut new = first.get(self.read..).unwrap_or_default();
        while !new.is_empty() {
            let before = new.len();
            if self.acceptor.read_tls(&mut new).is_err() {
                let error = rustls::Error::General("the ClientHello is longer than TLS allows".into());
                return Err((error, Vec::new()));
            }
            self.read += before - new.len();
            match self.acceptor.accept() {
                Ok(Some(accepted)) => return Ok(Some(facts(&accepted.client_hello()))),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut words = Vec::new();
                    // Writing to memory cannot fail.
                    let _written = alert.write_all(&mut words);
                    return Err((error, words));
                }
            }
        }
        Ok(None)
    }
}

fn facts(hello: &rustls::server::ClientHello<'_>) -> HelloFacts {
    let offered = hello.alpn().map(|names| names.collect::<Vec<_>>().join(&b','));
    HelloFacts {
        sni: hello.server_name().map(|name| name.to_ascii_lowercase().into()),
        alpn: offered.map(Into::into),
    }
}

/// With keys for key exchanges after quantum computers a ClientHello has about 2 KiB; this is what rustls reads at most.
const MOST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use tokio::io::duplex;

    use super::*;
    use crate::tls::provider;

    fn hello(name: &'static str, alpn: &[&[u8]]) -> Vec<u8> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from(name).unwrap();
        let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        session.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// The same handshake message, so many bytes of it in each record.
    fn in_records(hello: &[u8], each: usize) -> Vec<u8> {
        let (head, message) = hello.split_at(5);
        let record = |part: &[u8]| {
            let len = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&head[..3], &len, part].concat()
        };
        message.chunks(each).flat_map(record).collect()
    }

    async fn read_of(bytes: &[u8], whole: bool) -> (Result<HelloFacts, TlsRefusal>, Vec<u8>) {
        let (mut client, mut stream) = duplex(1 << 20);
        client.write_all(bytes).await.unwrap();
        let mut first = Vec::new();
        let deadline = Instant::now() + std::time::Duration::from_secs(10);
        if whole {
            client.shutdown().await.unwrap();
        }
        (read(&mut stream, &mut first, false, deadline).await, first)
    }

    #[tokio::test]
    async fn name_and_protocols_are_read_and_every_byte_is_kept() {
        let bytes = hello("WWW.example.test", &[b"h2", b"http/1.1"]);
        let (facts, first) = read_of(&bytes, true).await;
        let facts = facts.unwrap();
        assert_eq!(facts.sni.as_deref(), Some("www.example.test"));
        assert_eq!(facts.alpn.as_deref(), Some(&b"h2,http/1.1"[..]));
        assert_eq!(first, bytes);
    }

    #[tokio::test]
    async fn a_hello_is_whole_however_it_is_split_into_records() {
        for each in [1, 7, 100] {
            let bytes = in_records(&hello("www.example.test", &[]), each);
            let (facts, first) = read_of(&[&bytes[..], b"what follows"].concat(), true).await;
            let facts = facts.unwrap();
            assert_eq!((facts.sni.as_deref(), facts.alpn), (Some("www.example.test"), None), "{each}");
            assert_eq!(first.len(), bytes.len() + 12);
        }
    }

    #[tokio::test]
    async fn a_client_that_names_an_address_or_nothing_has_no_name() {
        let (facts, _) = read_of(&hello("192.0.2.1", &[]), true).await;
        assert_eq!(facts.unwrap().sni, None);
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_hello_is_refused_at_its_end_or_at_the_deadline() {
        let bytes = hello("www.example.test", &[]);
        for cut in [1, 5, 6, 40, bytes.len() - 1] {
            let (facts, _) = read_of(&bytes[..cut], true).await;
            assert!(matches!(facts, Err(TlsRefusal::Closed)), "{cut}: {facts:?}");
            let (mut client, mut stream) = duplex(1 << 20);
            client.write_all(&bytes[..cut]).await.unwrap();
            let deadline = Instant::now() + std::time::Duration::from_secs(10);
            let facts = read(&mut stream, &mut Vec::new(), false, deadline).await;
            assert!(matches!(facts, Err(TlsRefusal::Deadline { begun: true })), "{cut}: {facts:?}");
        }
    }

    #[tokio::test]
    async fn a_hello_without_an_end_is_not_read_for_ever() {
        // It announces the longest message there is, and goes on sending it.
        let mut bytes = vec![0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
        bytes.resize(5 + 0x4000, 0);
        let more = [&[0x16, 3, 1, 0x40, 0][..], &vec![0; 0x4000]].concat();
        for _ in 0..20 {
            bytes.extend_from_slice(&more);
        }
        let (facts, first) = read_of(&bytes, false).await;
        assert!(matches!(facts, Err(TlsRefusal::Failed(_) | TlsRefusal::HelloTooLong { .. })), "{facts:?}");
        assert!(first.len() <= 2 * MOST);
    }

    #[tokio::test]
    async fn what_is_no_hello_is_refused_and_never_panics() {
        let sound = hello("www.example.test", &[b"h2"]);
        for place in 5..sound.len().min(200) {
            let mut bytes = sound.clone();
            bytes[place] ^= 0xff;
            let (facts, _) = read_of(&bytes, true).await;
            // A changed random or key share is none of our business; a changed length is.
            if let Err(error) = facts {
                assert!(matches!(error, TlsRefusal::Failed(_) | TlsRefusal::Closed), "{place}: {error:?}");
            }
        }
    }
}
