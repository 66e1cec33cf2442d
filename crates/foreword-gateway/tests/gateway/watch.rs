//! Certificates are exchanged while they are in use: no handshake fails, and what is broken changes nothing.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SerialNumber};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::endpoint_tls::Folder;
use crate::support::{Endpoint, Running, client, read_all, say_all};
use crate::tls::{builder, echo, tls};

/// Signs certificates for `localhost`, each with a number.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    roots: RootCertStore,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(params.self_signed(&key).unwrap().der().clone()).unwrap();
        Self { issuer: Issuer::new(params, key), roots }
    }

    /// Certificate and key in PEM.
    fn sign(&self, number: u64) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(number));
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn write(&self, folder: &Path, number: u64) {
        let (certificate, key) = self.sign(number);
        fs::write(folder.join("a.crt"), certificate).unwrap();
        fs::write(folder.join("a.key"), key).unwrap();
    }

    /// A client that resumes nothing: each handshake is shown a certificate.
    fn client(&self) -> Arc<ClientConfig> {
        let mut config = builder().with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    }
}

/// The number of the certificate that a client is shown, after a word went there and back.
fn shown(config: &Arc<ClientConfig>, address: SocketAddr) -> u64 {
    let mut session = tls(config, "localhost", client(address));
    session.conn.complete_io(&mut session.sock).unwrap();
    let certificate: CertificateDer<'_> = session.conn.peer_certificates().unwrap()[0].clone();
    echo(session);
    let (_, parsed) = X509Certificate::from_der(&certificate).unwrap();
    parsed.serial.to_u64_digits()[0]
}

fn file(certificates: &str, endpoint: &Endpoint) -> String {
    format!(
        "workers = 2\n[listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
         tls = {{ certificates = {certificates} }}\n[cluster.app]\nendpoints = [\"{}\"]\n",
        endpoint.address
    )
}

/// Puts a pair into place in one of the ways that are usual.
fn swap(folder: &Path, number: u64, (certificate, key): (String, String)) {
    let at = |name: &str| folder.join(name);
    match number % 3 {
        0 => {
            fs::write(at("a.crt"), certificate).unwrap();
            fs::write(at("a.key"), key).unwrap();
        }
        1 => {
            for (name, text) in [("a.crt", certificate), ("a.key", key)] {
                fs::remove_file(at(name)).unwrap();
                fs::write(at("new"), text).unwrap();
                fs::rename(at("new"), at(name)).unwrap();
            }
        }
        _ => {
            let data = format!("..{number}");
            fs::create_dir(at(&data)).unwrap();
            fs::write(at(&data).join("a.crt"), certificate).unwrap();
            fs::write(at(&data).join("a.key"), key).unwrap();
            symlink(data, at("..new")).unwrap();
            fs::rename(at("..new"), at("..data")).unwrap();
            for name in ["a.crt", "a.key"] {
                symlink(format!("..data/{name}"), at("link")).unwrap();
                fs::rename(at("link"), at(name)).unwrap();
            }
        }
    }
}

#[test]
fn twenty_exchanges_under_load_fail_no_handshake() {
    let (folder, endpoint, authority) = (tempfile::tempdir().unwrap(), Endpoint::echo(), Authority::new());
    authority.write(folder.path(), 1);
    let running = Running::start_in(folder.path(), &file("\".\"", &endpoint));
    let address = running.address("web");
    let (over, made) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let config = authority.client();
                let mut last = 0;
                while !over.load(Ordering::Relaxed) {
                    let number = shown(&config, address);
                    assert!(number >= last, "{number} was shown after {last}");
                    last = number;
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 2..22 {
            let before = running.log.all().len();
            swap(folder.path(), number, authority.sign(number));
            running.log.line_with_after(before, "listener web: certificates: the files changed");
            assert_eq!(shown(&authority.client(), address), number);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(made.load(Ordering::Relaxed) > 20);
    assert!(!running.log.holds("FW"), "{}", running.log.all());
    let mut metrics = String::new();
    running.gateway.observer().write_metrics(&mut metrics).unwrap();
    assert!(metrics.contains("foreword_file_changes_total{result=\"success\"} 20\n"), "{metrics}");
    assert!(metrics.contains("foreword_certificate_not_after_timestamp_seconds{listener=\"web\",file="));
}

#[test]
fn a_pair_that_does_not_belong_together_changes_nothing_and_is_told_once() {
    let (folder, endpoint, authority) = (tempfile::tempdir().unwrap(), Endpoint::echo(), Authority::new());
    authority.write(folder.path(), 1);
    let pairs = "[{ certificate = \"a.crt\", key = \"a.key\" }]";
    let running = Running::start_in(folder.path(), &file(pairs, &endpoint));
    let address = running.address("web");

    let (certificate, key) = authority.sign(2);
    fs::write(folder.path().join("a.crt"), certificate).unwrap();
    let line = running.log.line_with("FW606");
    assert!(line.contains("a.crt") && line.contains("does not belong to this certificate"), "{line}");
    assert_eq!(shown(&authority.client(), address), 1);

    fs::write(folder.path().join("a.key"), &key[..key.len() / 2]).unwrap();
    let line = &running.log.lines_with("FW606", 2)[1];
    assert!(line.contains("a.key") && line.contains("not valid PEM"), "{line}");
    assert_eq!(shown(&authority.client(), address), 1);

    fs::write(folder.path().join("a.key"), key).unwrap();
    running.log.line_with("the files changed");
    assert_eq!(shown(&authority.client(), address), 2);
    assert_eq!(running.log.all().matches("FW606").count(), 2);
}

#[test]
fn nothing_is_read_again_where_the_file_says_so() {
    let (folder, endpoint, authority) = (tempfile::tempdir().unwrap(), Endpoint::echo(), Authority::new());
    let other = tempfile::tempdir().unwrap();
    authority.write(folder.path(), 1);
    authority.write(other.path(), 1);
    let still = file("\".\"", &endpoint);
    let still = Running::start_in(folder.path(), &format!("watch = false\n{still}"));
    let watching = Running::start_in(other.path(), &file("\".\"", &endpoint));
    for folder in [folder.path(), other.path()] {
        swap(folder, 3, authority.sign(3));
    }
    // By the time that one has seen its change the other would have seen its own.
    watching.log.line_with("the files changed");
    assert_eq!(shown(&authority.client(), watching.address("web")), 3);
    assert_eq!(shown(&authority.client(), still.address("web")), 1);
}

#[test]
fn who_signs_the_certificates_of_endpoints_can_be_exchanged() {
    let mut certificates = Folder::new();
    let endpoint = certificates.endpoint("app.test", "");
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    fs::copy(certificates.path().join("app.test.pem"), &ca).unwrap();
    let running = Running::start_in(
        folder.path(),
        &format!(
            "[listener.app]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
             [cluster.app]\nendpoints = [\"{}\"]\ntls = {{ ca = \"ca.pem\", sni = \"app.test\" }}\n",
            endpoint.endpoint.address
        ),
    );
    let hear = || {
        let mut stream = client(running.address("app"));
        say_all(&mut stream, b"hello");
        read_all(&mut stream)
    };
    assert_eq!(hear(), b"hello");
    let (stranger, _) = Authority::new().sign(1);
    fs::write(&ca, stranger).unwrap();
    running.log.line_with("cluster app: tls: the files changed");
    assert_eq!(hear(), b"");
    let line = running.log.line_with("FW533");
    assert!(line.contains("its certificate cannot be believed"), "{line}");
}
