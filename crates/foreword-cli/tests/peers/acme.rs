//! Certificates from a real ACME server, which refuses half of all nonces: issued, renewed, kept.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::gateway::Gateway;
use crate::ground::Ground;
use crate::program::{self, PATIENCE, Program, Run};

/// A CA on loopback for which every name leads to the ground's address, and the ports at which it looks.
struct Authority {
    directory: SocketAddr,
    management: SocketAddr,
    names: SocketAddr,
    http: SocketAddr,
    https: SocketAddr,
    /// Who signs the certificate of the directory.
    ca: PathBuf,
}

impl Authority {
    fn new(ground: &Ground) -> Self {
        let [directory, management, names, http, https] = std::array::from_fn(|_| ground.address());
        let ca = ground.certificate(&[&directory.ip().to_string()]).file;
        Self { directory, management, names, http, https, ca }
    }

    /// Starts the CA and its name server. Certificates hold for so many seconds.
    fn start(&self, ground: &Ground, validity: u64) -> Option<(Program, Program)> {
        let mut names = program::peer("pebble-challtestsrv")?;
        let ip = self.names.ip().to_string();
        names.args(["-defaultIPv4", &ip, "-defaultIPv6", "", "-dns01", &self.names.to_string()]);
        names.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        names.args(["-management", &ground.address().to_string()]);
        let names = Program::start("name server", &mut names);
        names.line("Starting");
        let config = serde_json::json!({ "pebble": {
            "listenAddress": self.directory.to_string(),
            "managementListenAddress": self.management.to_string(),
            "certificate": self.ca,
            "privateKey": self.ca,
            "httpPort": self.http.port(),
            "tlsPort": self.https.port(),
            "certificateValidityPeriod": validity,
        }});
        let config = ground.write("pebble.json", &config.to_string());
        let mut pebble = program::peer("pebble")?;
        pebble.arg("-config").arg(config).args(["-dnsserver", &self.names.to_string()]);
        // It would wait before it looks, and take a name for proven that was so before.
        pebble
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .env("PEBBLE_WFE_NONCEREJECT", "50");
        Some((
            Program::start("pebble", &mut pebble).listening(self.directory).listening(self.management),
            names,
        ))
    }

    /// Writes the certificate that signs those of the CA.
    fn root(&self, ground: &Ground) -> PathBuf {
        let mut curl = curl(&self.ca);
        let root = program::run(curl.arg(format!("https://{}/roots/0", self.management)));
        assert!(root.status.success(), "{}", root.error);
        ground.write("root.pem", &root.out)
    }

    fn file(&self, ground: &Ground, challenge: &str) -> String {
        let Self { directory, http, https, ca, .. } = self;
        let (ca, state) = (ca.display(), ground.path("state"));
        format!(
            "[acme]\nterms = \"agreed\"\ndirectory = \"https://{directory}/dir\"\ndirectory_ca = \"{ca}\"\n\
             contact = [\"mailto:ops@example.test\"]\nstate = \"{}\"\nchallenges = [\"{challenge}\"]\n\
             [listener.http]\nbind = [\"{http}\"]\nmode = \"http\"\nrule = [{{ then = {{ deny = 403 }} }}]\n\
             [listener.https]\nbind = [\"{https}\"]\nmode = \"http\"\ntls = {{ acme = [\"{NAME}\"] }}\n\
             rule = [{{ then = {{ respond = {{ status = 200, body = \"here\\n\" }} }} }}]\n\
             [admin]\nbind = \"unix:{}\"\n",
            state.display(),
            ground.path("admin.sock").display()
        )
    }

    /// Asks the gateway by name, believing the CA.
    fn ask(&self, root: &Path) -> Run {
        let mut curl = curl(root);
        let https = self.https;
        curl.args(["--resolve", &format!("{NAME}:{}:{}", https.port(), https.ip())]);
        program::run(curl.arg(format!("https://{NAME}:{}/", https.port())))
    }

    fn folder(&self, ground: &Ground) -> PathBuf {
        ground.path("state").join(format!("{}_{}_dir", self.directory.ip(), self.directory.port()))
    }
}

fn curl(ca: &Path) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*", "--cacert"]).arg(ca);
    curl
}

fn metrics(ground: &Ground) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "20", "--unix-socket"]).arg(ground.path("admin.sock"));
    program::run(curl.arg("http://localhost/metrics")).out
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file that is there").permissions().mode() & 0o777
}

const NAME: &str = "www.example.test";

#[test]
fn a_certificate_is_obtained_by_tls_alpn_and_renewed_again_and_again_while_clients_come() {
    let ground = Ground::new();
    let authority = Authority::new(&ground);
    let file = authority.file(&ground, "tls-alpn-01");
    {
        // Nobody answers for the CA yet.
        let gateway = Gateway::start(&ground, &file, &[authority.https]);
        let told = gateway.program.line("FW310");
        assert!(told.contains(NAME) && told.contains("it is tried again in"), "{told}");
        assert!(!authority.ask(&authority.ca).status.success());
        let told = gateway.program.line("FW309");
        assert!(told.contains("the CA has not issued it"), "{told}");
        assert!(metrics(&ground).contains("foreword_acme_orders_total{result=\"failure\"} 1\n"));
    }
    let Some((_pebble, _names)) = authority.start(&ground, SHORT) else { return };
    let root = authority.root(&ground);
    let gateway = Gateway::start(&ground, &file, &[authority.https]);
    let issued = format!("a certificate for `{NAME}` was issued");
    gateway.program.line(&issued);
    let begun = Instant::now();
    while gateway.program.count(&issued) < 4 {
        assert!(begun.elapsed() < 3 * PATIENCE, "{}", gateway.program.transcript());
        let answer = authority.ask(&root);
        assert_eq!(answer.out, "here", "{}\n{}", answer.error, gateway.program.transcript());
    }
    assert_eq!(gateway.program.count("FW3"), 0, "{}", gateway.program.transcript());
    assert!(metrics(&ground).contains("foreword_acme_orders_total{result=\"failure\"} 0\n"));
    let folder = authority.folder(&ground);
    let files = ["account.json", &format!("{NAME}.pem")].map(|name| mode(&folder.join(name)));
    assert_eq!((mode(&folder), files), (0o700, [0o600, 0o600]));
}

#[test]
fn a_certificate_is_obtained_before_the_rules_by_http_and_kept_for_the_next_start() {
    let ground = Ground::new();
    let authority = Authority::new(&ground);
    let Some((pebble, names)) = authority.start(&ground, LONG) else { return };
    let root = authority.root(&ground);
    let file = authority.file(&ground, "http-01");
    let gateway = Gateway::start(&ground, &file, &[authority.https, authority.http]);
    gateway.program.line(&format!("a certificate for `{NAME}` was issued"));
    assert_eq!(authority.ask(&root).out, "here", "{}", gateway.program.transcript());
    // The question is closed: the rules decide again.
    let path = format!("http://{}/.well-known/acme-challenge/token", authority.http);
    let status =
        program::run(curl(&root).args(["--output", "/dev/null", "--write-out", "%{http_code}"]).arg(path));
    assert_eq!(status.out, "403");
    drop(gateway);

    // The CA is gone, and need not be asked.
    drop((pebble, names));
    let gateway = Gateway::start(&ground, &file, &[authority.https]);
    assert_eq!(authority.ask(&root).out, "here", "{}", gateway.program.transcript());
    assert_eq!(gateway.program.count("acme:"), 0, "{}", gateway.program.transcript());
}

/// In seconds. Renewed after two thirds of it, and an order takes one or two.
const SHORT: u64 = 18;

/// In seconds: nobody renews it here.
const LONG: u64 = 90 * 24 * 60 * 60;
