//! What a CA says of a certificate is stapled for clients that ask, while it is current and about that certificate.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use foreword_gateway::tls::certificates::{self, CertificateSource};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber,
};

use crate::support::{Endpoint, Running, plan};

/// A folder with a certificate for `localhost` by an authority that answers questions about it.
struct Scene {
    folder: tempfile::TempDir,
    authority: tempfile::TempDir,
    endpoint: Endpoint,
}

impl Scene {
    fn new() -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap().pem();
        fs::write(authority.path().join("ca.pem"), &own).unwrap();
        fs::write(authority.path().join("ca.key"), key.serialize_pem()).unwrap();
        let issuer = Issuer::new(params, key);
        for (name, serial) in [("site", 0x1234_u64), ("other", 0x5678)] {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.serial_number = Some(SerialNumber::from(serial));
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap().pem();
            fs::write(authority.path().join(name), &certificate).unwrap();
            if name == "site" {
                fs::write(folder.path().join("site.pem"), certificate + &own + &key.serialize_pem()).unwrap();
            }
        }
        Self { folder, authority, endpoint: Endpoint::echo() }
    }

    /// Has the authority say that a certificate is (V)alid or (R)evoked, for a week.
    fn answer(&self, name: &str, status: char) -> Vec<u8> {
        let openssl = |arguments: &[&str]| {
            let mut openssl = Command::new("openssl");
            openssl.current_dir(self.authority.path()).arg("ocsp").args(arguments);
            let output = openssl.output().expect("openssl is there");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        openssl(&["-issuer", "ca.pem", "-cert", name, "-reqout", "question"]);
        let since = if status == 'R' { "250101000000Z" } else { "" };
        let line =
            |serial: &str| format!("{status}\t400101000000Z\t{since}\t{serial}\tunknown\t/CN={serial}\n");
        fs::write(self.authority.path().join("index.txt"), line("1234") + &line("5678")).unwrap();
        let by =
            ["-index", "index.txt", "-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "ca.key", "-ndays", "7"];
        openssl(&[&by[..], &["-reqin", "question", "-respout", "answer"]].concat());
        fs::read(self.authority.path().join("answer")).unwrap()
    }

    fn file(&self, certificates: &str) -> String {
        format!(
            "[listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"tcp\"\ncluster = \"app\"\n\
             tls = {{ certificates = {certificates} }}\n[cluster.app]\nendpoints = [\"{}\"]\n",
            self.endpoint.address
        )
    }

    fn staple(&self, bytes: &[u8]) {
        fs::write(self.folder.path().join("site.ocsp"), bytes).unwrap();
    }

    fn warnings(&self) -> Vec<String> {
        plan(self.folder.path(), &self.file("\".\"")).warnings
    }
}

/// What a client hears that asks what the CA says, and believes the CA.
fn status(address: SocketAddr, authority: &Path, version: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-status", "-servername", "localhost", version, "-CAfile"]);
    openssl.arg(authority.join("ca.pem")).args(["-connect", &address.to_string()]);
    let said = openssl.stdin(Stdio::null()).output().expect("openssl is there");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    said
}

#[test]
fn a_client_that_asks_is_told_what_the_ca_says_and_a_change_counts_at_once() {
    let scene = Scene::new();
    let running = Running::start_in(scene.folder.path(), &scene.file("\".\""));
    let ask = |version| status(running.address("web"), scene.authority.path(), version);
    assert!(ask("-tls1_3").contains("OCSP response: no response sent"));
    scene.staple(&scene.answer("site", 'V'));
    running.log.line_with("the files changed");
    for version in ["-tls1_2", "-tls1_3"] {
        let said = ask(version);
        assert!(
            said.contains("OCSP Response Status: successful") && said.contains("Cert Status: good"),
            "{said}"
        );
    }
    let pair = "[{ certificate = \"site.pem\", key = \"site.pem\", ocsp = \"site.ocsp\" }]";
    let named = Running::start_in(scene.folder.path(), &scene.file(pair));
    let said = status(named.address("web"), scene.authority.path(), "-tls1_3");
    assert!(said.contains("Cert Status: good"), "{said}");
}

#[test]
fn what_clients_would_refuse_is_left_out_and_warned_of() {
    let scene = Scene::new();
    for (answer, why) in [
        (scene.answer("site", 'R'), "says that the certificate is revoked"),
        (scene.answer("other", 'V'), "is about another certificate"),
    ] {
        scene.staple(&answer);
        let warnings = scene.warnings();
        let told = |warning: &String| warning.contains("site.ocsp") && warning.contains(why);
        assert!(warnings.iter().any(told), "{warnings:?}");
        let running = Running::start_in(scene.folder.path(), &scene.file("\".\""));
        let said = status(running.address("web"), scene.authority.path(), "-tls1_3");
        assert!(said.contains("OCSP response: no response sent"), "{said}");
    }

    scene.staple(&scene.answer("site", 'V'));
    assert!(!scene.warnings().iter().any(|warning| warning.contains("ocsp")), "{:?}", scene.warnings());
    let source = CertificateSource::Directory(scene.folder.path().to_owned()).into();
    let later = SystemTime::now() + Duration::from_secs(8 * 24 * 60 * 60);
    let store = certificates::load(&source, later).unwrap();
    let told = |warning: &String| warning.contains("should have been replaced by now: it is not stapled");
    assert!(store.warnings().iter().any(told), "{:?}", store.warnings());
}

#[test]
fn an_answer_that_cannot_be_read_is_named() {
    let scene = Scene::new();
    let whole = scene.answer("site", 'V');
    // The last one says that its CA should be asked later.
    for bytes in [&b"no answer"[..], &whole[..whole.len() - 1], &[0x30, 3, 0x0a, 1, 3]] {
        scene.staple(bytes);
        let file = scene.file("\".\"");
        let problems = foreword_gateway::config::parse(&file, "test.toml", scene.folder.path()).unwrap_err();
        let told = problems.to_string();
        assert!(told.contains("site.ocsp") && told.contains("expected an OCSP response"), "{told}");
        assert!(told.contains("-respout"), "{told}");
    }
}
