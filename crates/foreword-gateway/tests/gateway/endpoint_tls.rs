//! TLS with endpoints: who is believed, what is shown, where the header goes.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use foreword::{Header, HeaderBuf, Parse};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::bulk::{hear, say};
use crate::support::{Endpoint, PATIENCE, Running, client, read_all, say_all};
use crate::tls::{builder, certificate, tls};

/// Certificates of endpoints that sign themselves, and those who believe them.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    pub(crate) roots: RootCertStore,
}

/// What an endpoint heard of a connection before its payload.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) header: Option<HeaderBuf>,
    pub(crate) name: Option<String>,
    /// Whether a certificate was shown.
    pub(crate) shown: bool,
}

/// An endpoint that ends TLS.
pub(crate) struct TlsEndpoint {
    pub(crate) endpoint: Endpoint,
    told: Receiver<Told>,
}

impl TlsEndpoint {
    pub(crate) fn told(&self) -> Told {
        self.told.recv_timeout(PATIENCE).unwrap()
    }
}

type Ended = StreamOwned<ServerConnection, TcpStream>;

impl Folder {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), roots: RootCertStore::empty() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// An endpoint that echoes. `what` holds `header` if it reads one before TLS, and `asks` if it asks for a certificate.
    pub(crate) fn endpoint(&mut self, name: &'static str, what: &'static str) -> TlsEndpoint {
        self.start(name, what, |stream, _| {
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            stream.write_all(&heard).unwrap();
        })
    }

    /// An endpoint that does as it is told.
    pub(crate) fn serving(
        &mut self,
        name: &'static str,
        serve: impl Fn(&mut Ended, usize) + Send + Sync + 'static,
    ) -> TlsEndpoint {
        self.start(name, "header", serve)
    }

    fn start(
        &mut self,
        name: &'static str,
        what: &'static str,
        serve: impl Fn(&mut Ended, usize) + Send + Sync + 'static,
    ) -> TlsEndpoint {
        let file = format!("{name}.pem");
        certificate(self.folder.path(), &file, &[name], &mut self.roots);
        let config = Arc::new(server(&self.path().join(&file), what.contains("asks").then_some(&self.roots)));
        let (tell, told) = mpsc::channel();
        let tell = std::sync::Mutex::new(tell);
        let count = std::sync::atomic::AtomicUsize::new(0);
        let endpoint = Endpoint::new(move |mut socket| {
            let header = what.contains("header").then(|| read_header(&mut socket));
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(session, socket);
            while stream.conn.is_handshaking() {
                if stream.conn.complete_io(&mut stream.sock).is_err() {
                    return;
                }
            }
            let name = stream.conn.server_name().map(str::to_owned);
            let shown = stream.conn.peer_certificates().is_some();
            let _nobody_asks = tell.lock().unwrap().send(Told { header, name, shown });
            serve(&mut stream, count.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            stream.conn.send_close_notify();
            let _gone = stream.flush();
            let _gone = stream.sock.shutdown(Shutdown::Write);
        });
        TlsEndpoint { endpoint, told }
    }
}

fn server(file: &Path, asks: Option<&RootCertStore>) -> ServerConfig {
    let pem = fs::read(file).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(&pem).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(&pem).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = match asks {
        None => builder.with_no_client_auth(),
        Some(roots) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider).build().unwrap(),
        ),
    };
    builder.with_single_cert(chain, key).unwrap()
}

/// Reads a header and not a byte more, or whatever begins there.
fn read_header(socket: &mut TcpStream) -> HeaderBuf {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        bytes.extend(byte);
        if let Ok(Parse::Complete { .. }) = Header::parse(&bytes) {
            return HeaderBuf::from_bytes(&bytes).unwrap();
        }
    }
}

fn file(mode: &str, cluster: &str, endpoint: &TlsEndpoint) -> String {
    format!(
        "workers = 1\n[listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"{mode}\"\ncluster = \"app\"\n\
         [cluster.app]\nendpoints = [\"{}\"]\n{cluster}\n",
        endpoint.endpoint.address
    )
}

/// Sends a word through an echoing endpoint.
fn echo(running: &Running) -> Vec<u8> {
    let mut stream = client(running.address("web"));
    say_all(&mut stream, b"hello");
    read_all(&mut stream)
}

const CA: &str = "tls = { ca = \"app.test.pem\", sni = \"app.test\" }";

#[test]
fn an_endpoint_that_is_believed_is_spoken_to_and_an_end_passes_both_ways() {
    let mut folder = Folder::new();
    let app = folder.endpoint("app.test", "");
    let running = Running::start_in(folder.path(), &file("tcp", CA, &app));
    assert_eq!(echo(&running), b"hello");
    assert_eq!(app.told().name.as_deref(), Some("app.test"));
}

#[test]
fn the_header_goes_before_the_handshake_or_inside() {
    let mut folder = Folder::new();
    let app = folder.endpoint("app.test", "header");
    let running =
        Running::start_in(folder.path(), &file("tcp", &format!("send_header = \"v2\"\n{CA}"), &app));
    assert_eq!(echo(&running), b"hello");
    let header = app.told().header.unwrap();
    assert!(header.header().source().is_some(), "{header:?}");

    let inside = folder.endpoint("app.test", "");
    let tls = "tls = { ca = \"app.test.pem\", sni = \"app.test\", header = \"inside\" }";
    for placement in ["connect", "first-payload"] {
        let cluster = format!("send_header = \"v1\"\nheader_placement = \"{placement}\"\n{tls}");
        let running = Running::start_in(folder.path(), &file("tcp", &cluster, &inside));
        let heard = echo(&running);
        assert!(heard.starts_with(b"PROXY TCP4 127.0.0.1 127.0.0.1 "), "{}", heard.escape_ascii());
        assert!(heard.ends_with(b"\r\nhello"), "{}", heard.escape_ascii());
    }
}

#[test]
fn an_endpoint_that_cannot_be_believed_hears_nothing_and_the_cause_is_named() {
    let mut folder = Folder::new();
    let app = folder.endpoint("app.test", "");
    let _other = folder.endpoint("other.test", "");
    let pin = pin_of(&folder.path().join("app.test.pem"));
    let wrong = pin_of(&folder.path().join("other.test.pem"));
    for (tls, cause) in [
        (r#"{ ca = "other.test.pem", sni = "app.test" }"#.to_owned(), "cannot be believed"),
        (r#"{ ca = "app.test.pem", sni = "www.test" }"#.to_owned(), "cannot be believed"),
        // Asked for by its address, which its certificate does not hold.
        (r#"{ ca = "app.test.pem" }"#.to_owned(), "cannot be believed"),
        (format!(r#"{{ verify = false, pins = ["{wrong}"] }}"#), "found sha256/"),
        (format!(r#"{{ ca = "app.test.pem", sni = "app.test", pins = ["{wrong}"] }}"#), "found sha256/"),
    ] {
        let running = Running::start_in(folder.path(), &file("tcp", &format!("tls = {tls}"), &app));
        assert_eq!(echo(&running), b"", "{tls}");
        let line = running.log.line_with("FW533");
        assert!(line.contains(cause), "{tls}: {line}");
    }
    for tls in [
        format!(r#"{{ verify = false, pins = ["{wrong}", "{pin}"] }}"#),
        format!(r#"{{ ca = "app.test.pem", sni = "app.test", pins = ["{pin}"] }}"#),
        "{ verify = false }".to_owned(),
    ] {
        let running = Running::start_in(folder.path(), &file("tcp", &format!("tls = {tls}"), &app));
        assert_eq!(echo(&running), b"hello", "{tls}");
    }
}

/// The key of a certificate, as `pins` names it.
fn pin_of(file: &Path) -> String {
    let script = "openssl x509 -in \"$0\" -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64";
    let output = std::process::Command::new("sh").args(["-c", script]).arg(file).output().unwrap();
    format!("sha256/{}", String::from_utf8(output.stdout).unwrap().trim())
}

#[test]
fn an_endpoint_that_speaks_no_tls_is_named_and_hears_no_payload() {
    let folder = Folder::new();
    let (endpoint, heard) = Endpoint::recording();
    let silent = TlsEndpoint { endpoint, told: mpsc::channel().1 };
    let cluster = "timeout = { connect = \"1s\" }\ntls = { verify = false }";
    let running = Running::start_in(folder.path(), &file("tcp", cluster, &silent));
    assert_eq!(echo(&running), b"");
    running.log.line_with("FW502");
    let heard = heard.recv().unwrap();
    assert!(heard.starts_with(&[0x16]) && !heard.ends_with(b"hello"));

    let talker = Endpoint::new(|mut stream| _ = stream.write_all(b"220 ready\r\n"));
    let talker = TlsEndpoint { endpoint: talker, told: mpsc::channel().1 };
    let running = Running::start_in(folder.path(), &file("tcp", cluster, &talker));
    assert_eq!(echo(&running), b"");
    let line = running.log.line_with("FW533");
    assert!(line.contains("does not answer with TLS"), "{line}");
}

#[test]
fn an_endpoint_that_asks_is_shown_our_certificate() {
    let mut folder = Folder::new();
    certificate(folder.folder.path(), "gateway.pem", &["gateway.test"], &mut folder.roots);
    let app = folder.endpoint("app.test", "asks");
    let shown = "tls = { ca = \"app.test.pem\", sni = \"app.test\", certificate = \"gateway.pem\" }";
    let running = Running::start_in(folder.path(), &file("tcp", shown, &app));
    assert_eq!(echo(&running), b"hello");
    assert!(app.told().shown);
    let running = Running::start_in(folder.path(), &file("tcp", CA, &app));
    assert_eq!(echo(&running), b"");
}

#[test]
fn requests_share_a_connection_under_tls_and_a_dead_one_is_noticed() {
    let mut folder = Folder::new();
    let app = folder.start("app.test", "", |stream, connection| {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{connection}");
        let mut requests = 0;
        let mut reader = BufReader::new(stream);
        // The third request finds the connection closed.
        while requests < 2 {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match reader.read(&mut byte) {
                    Ok(1) => head.extend(byte),
                    _ => return,
                }
            }
            requests += 1;
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            reader.get_mut().flush().unwrap();
        }
    });
    let running = Running::start_in(folder.path(), &file("http", CA, &app));
    let mut bodies = Vec::new();
    for _ in 0..4 {
        let mut stream = client(running.address("web"));
        stream.write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n").unwrap();
        let answer = read_all(&mut stream);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", answer.escape_ascii());
        bodies.push(answer.last().copied().unwrap());
    }
    assert_eq!(bodies, *b"0011");
}

#[test]
fn a_hundred_megabytes_each_way_with_tls_on_both_sides() {
    let mut folder = Folder::new();
    let (tell, told) = mpsc::channel();
    let app = folder.start("app.test", "", move |stream, _| {
        let heard = hear(stream);
        let said = say(stream, 2, BLOCKS);
        tell.send((heard, said)).unwrap();
    });
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["web.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::create_dir(folder.path().join("own")).unwrap();
    fs::write(folder.path().join("own/web.pem"), own.pem() + &key.serialize_pem()).unwrap();
    folder.roots.add(own.der().clone()).unwrap();
    let listener = "mode = \"tcp\"\ntls = { certificates = \"own\" }";
    let text = file("tcp", CA, &app).replace("mode = \"tcp\"", listener);
    let running = Running::start_in(folder.path(), &text);
    let config = Arc::new(builder().with_root_certificates(folder.roots.clone()).with_no_client_auth());
    let mut stream = tls(&config, "web.test", client(running.address("web")));
    let question = say(&mut stream, 1, BLOCKS);
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    let answer = hear(&mut stream);
    let (heard, said) = told.recv().unwrap();
    let len = BLOCKS * 64 * 1024;
    assert_eq!((heard, answer), ((len, question), (len, said)));
}

/// 100 MiB.
const BLOCKS: u64 = 1600;

#[test]
fn a_certificate_of_a_ca_is_told_with_what_to_do() {
    let folder = Folder::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["app.test".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let made = params.self_signed(&key).unwrap();
    fs::write(folder.path().join("ca.pem"), made.pem() + &key.serialize_pem()).unwrap();
    let config = Arc::new(server(&folder.path().join("ca.pem"), None));
    let endpoint = Endpoint::new(move |mut socket| {
        let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
        while session.is_handshaking() && session.complete_io(&mut socket).is_ok() {}
    });
    let app = TlsEndpoint { endpoint, told: mpsc::channel().1 };
    let tls = r#"tls = { ca = "ca.pem", sni = "app.test" }"#;
    let running = Running::start_in(folder.path(), &file("tcp", tls, &app));
    assert_eq!(echo(&running), b"");
    let line = running.log.line_with("FW533");
    assert!(line.contains("that of a CA") && line.contains("`pins`"), "{line}");
}
