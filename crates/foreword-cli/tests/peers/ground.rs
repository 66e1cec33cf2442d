//! The ground a test stands on: a folder, a loopback address and a certificate of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use tempfile::TempDir;

/// What a test has for itself. Nothing of it is shared with tests that run beside it.
pub(crate) struct Ground {
    folder: TempDir,
    ip: Ipv4Addr,
    next_port: AtomicU16,
    /// As long as it is bound, `ip` is ours.
    _claim: TcpListener,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("peers-").tempdir().expect("a folder for the test");
        // Postfix, hitch and Apache drop root, and read on.
        open_to_all(folder.path());
        let claim = claim_an_address();
        let IpAddr::V4(ip) = claim.local_addr().expect("a bound address").ip() else {
            unreachable!("only IPv4 addresses are claimed");
        };
        Self { folder, ip, next_port: AtomicU16::new(CLAIM_PORT + 1), _claim: claim }
    }

    /// A loopback address with a port that nobody else uses. Connections go out from 127.0.0.1, and no other test has
    /// this ground's address, so the port cannot be taken between now and the moment a server binds it.
    pub(crate) fn address(&self) -> SocketAddr {
        (self.ip, self.next_port.fetch_add(1, Ordering::Relaxed)).into()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a folder inside the ground that servers which dropped root can read.
    pub(crate) fn subfolder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a folder inside the ground");
        open_to_all(&path);
        path
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file inside the ground");
        path
    }

    /// Makes a certificate for the names, and puts it with its key into one file, as HAProxy and hitch want it.
    pub(crate) fn certificate(&self, names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let first = names.first().expect("a name for the certificate").clone();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("names for a certificate");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, first.as_str());
        let made = params.self_signed(&key).expect("a certificate");
        let pem = format!("{}{}", made.pem(), key.serialize_pem());
        let file = self.subfolder("certs").join(format!("{first}.pem"));
        fs::write(&file, pem).expect("a certificate inside the ground");
        // A key that others may read is worth a warning, and these tests look at the log.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a private key");
        Certificate { file, der: made.der().to_vec() }
    }
}

/// A certificate with its key, on disk.
#[derive(Clone)]
pub(crate) struct Certificate {
    pub(crate) file: PathBuf,
    pub(crate) der: Vec<u8>,
}

/// A port of 127.0.0.1, for what has to be called `localhost`. It lies below the ports that the kernel gives to outgoing
/// connections, and every process starts to look for it elsewhere.
pub(crate) fn localhost_port() -> u16 {
    static STEP: AtomicU16 = AtomicU16::new(0);
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    for _ in 0..COUNT {
        let step = u32::from(STEP.fetch_add(1, Ordering::Relaxed));
        // A prime well above the number of tests keeps processes with neighbouring numbers apart.
        let port = FIRST + std::process::id().wrapping_mul(211).wrapping_add(step) % COUNT;
        let port = u16::try_from(port).expect("a port");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("expected a free port on 127.0.0.1, found none");
}

/// Claims the first free address of 127.0.0.0/8 from a place that depends on the process.
fn claim_an_address() -> TcpListener {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..TRIES {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let spread = std::process::id().wrapping_mul(257).wrapping_add(step);
        let mut left = spread;
        // Each byte from its own share of the number, so that neighbouring numbers never meet in one address.
        let [d, c, b] = [254, 256, 254].map(|share| {
            let digit = left % share;
            left /= share;
            u8::try_from(digit).unwrap_or(u8::MAX)
        });
        // 127.0 is left to whoever says `localhost`, and no address ends with 0 or 255.
        let ip = Ipv4Addr::new(127, b + 1, c, d + 1);
        if let Ok(claim) = TcpListener::bind((ip, CLAIM_PORT)) {
            return claim;
        }
    }
    panic!("expected a loopback address that no other test uses, found none");
}

fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("a folder that others can read");
}

/// Servers get the ports above it.
const CLAIM_PORT: u16 = 10_000;

/// More than there are tests on a machine at one time, by far.
const TRIES: u32 = 10_000;
