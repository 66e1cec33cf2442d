//! The chain of the demo: a web app, a gateway in front of it, a balancer in front of that, each on loopback.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use foreword_gateway::Gateway;
use foreword_gateway::config::{self, Problems};
use foreword_gateway::gateway::StartError;
use foreword_gateway::plan::Bind;
use tokio::net::TcpListener;
use tokio::net::unix::pipe::{OpenOptions as PipeOptions, Receiver};
use tokio::task::{JoinHandle, spawn_local};

use super::app;

/// Where each part listens; 0 for a free port.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) balancer: u16,
    pub(super) gateway: u16,
    pub(super) app: u16,
}

/// The running chain. Its folder, with the certificate and the files, goes with it.
pub(super) struct Chain {
    pub(super) balancer: SocketAddr,
    pub(super) gateway: SocketAddr,
    pub(super) app: SocketAddr,
    /// The gateway's file, for whoever wants to ask `why`.
    pub(super) file: PathBuf,
    gateways: [Gateway; 2],
    serving: JoinHandle<()>,
    folder: tempfile::TempDir,
}

/// Why the chain could not be put together.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChainError {
    #[error("expected {what} at {address}")]
    Bind { what: &'static str, address: SocketAddr, source: io::Error },
    #[error("expected a folder for the certificate and the files")]
    Folder(#[source] io::Error),
    #[error("expected a certificate for localhost")]
    Certificate(#[source] rcgen::Error),
    #[error("expected the demo's own file to be sound: {0}")]
    File(Problems),
    #[error("expected the {what} to start")]
    Start { what: &'static str, source: StartError },
}

impl Chain {
    /// Starts the app, then the gateway that forwards to it, then the balancer that sends it the header. With it comes
    /// the gateway's access log.
    pub(super) async fn start(ports: Ports) -> Result<(Self, Receiver), ChainError> {
        let app = bind_app(ports.app).await?;
        let app_address = app.local_addr().map_err(ChainError::Folder)?;
        let serving = spawn_local(app::serve(app));

        let folder =
            tempfile::Builder::new().prefix("foreword-demo-").tempdir().map_err(ChainError::Folder)?;
        write_certificate(&folder.path().join("certs"))?;
        let log = open_log(&folder.path().join("access.log")).map_err(ChainError::Folder)?;

        let gateway = start(folder.path(), "gateway", &gateway_file(ports.gateway, app_address))?;
        let gateway_address = only_address(&gateway);
        let balancer = start(folder.path(), "balancer", &balancer_file(ports.balancer, gateway_address))?;
        let balancer_address = only_address(&balancer);

        // With the port that it got, so that the file can be run again as it is.
        let file = folder.path().join("gateway.toml");
        fs::write(&file, gateway_file(gateway_address.port(), app_address)).map_err(ChainError::Folder)?;

        let chain = Self {
            balancer: balancer_address,
            gateway: gateway_address,
            app: app_address,
            file,
            gateways: [balancer, gateway],
            serving,
            folder,
        };
        Ok((chain, log))
    }

    /// Lets what is under way finish, from the client's side to the app's.
    pub(super) async fn stop(self) {
        for gateway in self.gateways {
            gateway.drain().await;
        }
        self.serving.abort();
        drop(self.folder);
    }
}

async fn bind_app(port: u16) -> Result<TcpListener, ChainError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ChainError::Bind { what: "the web app", address, source })
}

fn start(folder: &Path, what: &'static str, text: &str) -> Result<Gateway, ChainError> {
    let configuration = config::parse(text, &format!("{what}.toml"), folder).map_err(ChainError::File)?;
    Gateway::start(configuration.plan).map_err(|source| ChainError::Start { what, source })
}

fn only_address(gateway: &Gateway) -> SocketAddr {
    let bound = gateway.addresses().into_iter().find_map(|bound| match bound.address {
        Bind::Inet(address) => Some(address),
        Bind::Unix(_) | Bind::Udp(_) => None,
    });
    bound.expect("the demo's files bind one TCP address each, and a gateway starts whole or not at all")
}

/// A certificate for localhost that lives as long as the demo.
fn write_certificate(folder: &Path) -> Result<(), ChainError> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(ChainError::Certificate)?;
    fs::create_dir(folder).map_err(ChainError::Folder)?;
    let pem = folder.join("localhost.pem");
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(pem).map_err(ChainError::Folder)?;
    write!(file, "{}{}", made.cert.pem(), made.signing_key.serialize_pem()).map_err(ChainError::Folder)
}

/// The access log goes through a named pipe, so that the demo is told each line as it is written.
fn open_log(path: &Path) -> io::Result<Receiver> {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0)?;
    // Reading and writing: the pipe then does not end while nobody writes.
    PipeOptions::new().read_write(true).open_receiver(path)
}

fn balancer_file(port: u16, gateway: SocketAddr) -> String {
    format!(
        r#"# What the load balancer does: TCP, with a header in front of each connection.
workers = 1

[trust.local]
from   = ["127.0.0.0/8"]
header = "optional"

[listener.balancer]
bind    = ["127.0.0.1:{port}"]
mode    = "tcp"
trust   = ["local"]
cluster = "gateway"

[cluster.gateway]
endpoints   = ["{gateway}"]
send_header = "v2"
send_tlvs   = ["unique_id", "crc32c"]
"#
    )
}

fn gateway_file(port: u16, app: SocketAddr) -> String {
    format!(
        r#"# What stands behind the balancer: it reads the header, ends TLS, decides, logs.
workers = 1

[trust.balancer]
from   = ["127.0.0.0/8"]
header = "require"

[list]
office = ["198.51.100.0/24", "2001:db8:42::/48"]

[listener.web]
bind  = ["127.0.0.1:{port}"]
mode  = "http"
trust = ["balancer"]
tls   = {{ certificates = "certs/" }}

[[listener.web.rule]]
name = "admin is for the office"
when = 'path.under("/admin") && !(client.ip in @office)'
then = {{ deny = 403 }}

[[listener.web.rule]]
name = "everything else"
then = {{ forward = "app" }}

[cluster.app]
endpoints = ["{app}"]

[log.access]
to     = "file:access.log"
format = '{{client.ip}} via {{peer.ip}} "{{http.request.method}} {{url.path}}" {{http.response.status_code}} rule "{{rule}}"'
"#
    )
}
