//! Real servers, each on a port of its own, with its files in a folder of its own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

/// A server that runs for as long as this lives.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
}

impl Server {
    /// Starts a program in a folder with these files, and waits until it takes connections on each port.
    ///
    /// A program that the machine lacks is a failure where CI is to have it, and nothing elsewhere.
    #[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
    pub(crate) fn start(
        program: &str,
        files: &[(&str, String)],
        arguments: impl Fn(&Path) -> Vec<String>,
        ports: &[u16],
    ) -> Option<Self> {
        let Some(path) = find(program) else {
            assert!(std::env::var_os("CI").is_none(), "`{program}` is not installed");
            eprintln!("skipped: `{program}` is not installed");
            return None;
        };
        let folder = TempDir::new().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text.replace("FOLDER", &folder.path().display().to_string()))
                .expect("written");
        }
        let child = Command::new(path)
            .args(arguments(folder.path()))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("stderr.log")).expect("a log"))
            .process_group(0)
            .spawn()
            .expect("it starts");
        let mut server = Self { child, folder };
        for port in ports {
            server.wait_for(*port);
        }
        Some(server)
    }

    /// A server says that it is ready by taking a connection; there is nothing else that all of them say.
    fn wait_for(&mut self, port: u16) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.child.try_wait().expect("a child");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "port {port}: {ended:?}\n{}",
                self.read("stderr.log")
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // With its children: Apache's live on where only their parent is killed.
        let group = Pid::from_child(&self.child);
        rustix::process::kill_process_group(group, Signal::KILL).expect("it ends");
        self.child.wait().expect("it ended");
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A port that nobody has, from below those that the kernel hands out: no connection takes it before the server does.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Test programs run side by side; each begins elsewhere.
    let start = std::process::id().wrapping_mul(97);
    loop {
        let next = start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let port = 20_000 + u16::try_from(next).expect("less than 12,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// nginx as the story's receiver, with and without header, with and without TLS.
pub(crate) struct Nginx {
    _server: Server,
    pub(crate) header: u16,
    pub(crate) plain: u16,
    pub(crate) header_tls: u16,
    pub(crate) plain_tls: u16,
}

impl Nginx {
    pub(crate) fn start(certificate: &super::tls::Certificate) -> Option<Self> {
        let [header, plain, header_tls, plain_tls] = [(); 4].map(|()| free_port());
        let tls = format!(
            "ssl_certificate {}; ssl_certificate_key {};",
            certificate.path("cert.pem"),
            certificate.path("key.pem")
        );
        let believe = "set_real_ip_from 127.0.0.0/8; real_ip_header proxy_protocol;";
        let says = "return 200 \"remote=$remote_addr\\n\";";
        let config = format!(
            "daemon off; master_process off; pid nginx.pid; error_log err.log info;\n\
             events {{ }}\n\
             http {{ access_log access.log;\n\
               client_body_temp_path FOLDER; proxy_temp_path FOLDER; fastcgi_temp_path FOLDER; uwsgi_temp_path FOLDER; scgi_temp_path FOLDER;\n\
               server {{ listen 127.0.0.1:{header} proxy_protocol; {believe} location / {{ {says} }} }}\n\
               server {{ listen 127.0.0.1:{plain}; location / {{ {says} }} }}\n\
               server {{ listen 127.0.0.1:{header_tls} ssl proxy_protocol; {tls} {believe} location / {{ {says} }} }}\n\
               server {{ listen 127.0.0.1:{plain_tls} ssl; {tls} location / {{ {says} }} }}\n\
             }}\n"
        );
        let arguments = |folder: &Path| {
            let folder = folder.display().to_string();
            vec!["-p".to_owned(), folder.clone(), "-c".to_owned(), format!("{folder}/nginx.conf")]
        };
        let ports = [header, plain, header_tls, plain_tls];
        let server = Server::start("nginx", &[("nginx.conf", config)], arguments, &ports)?;
        Some(Self { _server: server, header, plain, header_tls, plain_tls })
    }
}

/// HAProxy, with and without header.
pub(crate) struct Haproxy {
    _server: Server,
    pub(crate) header: u16,
    pub(crate) plain: u16,
    pub(crate) plain_tls: u16,
}

impl Haproxy {
    pub(crate) fn start(certificate: &super::tls::Certificate) -> Option<Self> {
        let [header, plain, plain_tls] = [(); 3].map(|()| free_port());
        let says = "http-request return status 200 content-type text/plain lf-string \"src=%[src] dst=%[dst] auth=%[fc_pp_authority]\\n\"";
        let config = format!(
            "defaults\n  mode http\n  timeout client 3s\n  timeout server 3s\n  timeout connect 1s\n\
             frontend header\n  bind 127.0.0.1:{header} accept-proxy\n  {says}\n\
             frontend plain\n  bind 127.0.0.1:{plain}\n  bind 127.0.0.1:{plain_tls} ssl crt {}\n  {says}\n",
            certificate.path("both.pem")
        );
        let arguments = |folder: &Path| {
            vec!["-db".to_owned(), "-f".to_owned(), folder.join("haproxy.cfg").display().to_string()]
        };
        let server =
            Server::start("haproxy", &[("haproxy.cfg", config)], arguments, &[header, plain, plain_tls])?;
        Some(Self { _server: server, header, plain, plain_tls })
    }
}

/// Apache, as in the story, but with a mod_remoteip that can read the header; and as it was, without.
pub(crate) struct Apache {
    server: Server,
    pub(crate) header: u16,
    pub(crate) plain: u16,
}

impl Apache {
    pub(crate) fn start() -> Option<Self> {
        let [header, plain] = [(); 2].map(|()| free_port());
        let config = format!(
            "ServerRoot FOLDER\nServerName localhost\nPidFile FOLDER/httpd.pid\nDefaultRuntimeDir FOLDER\n\
             Listen 127.0.0.1:{header}\nListen 127.0.0.1:{plain}\n\
             LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n\
             LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
             LoadModule remoteip_module /usr/lib/apache2/modules/mod_remoteip.so\n\
             User www-data\nGroup www-data\nErrorLog FOLDER/err.log\nDocumentRoot FOLDER\n\
             LogFormat \"%a peer=%{{c}}a %>s\" pp\nCustomLog FOLDER/access.log pp\n\
             <VirtualHost 127.0.0.1:{header}>\n  RemoteIPProxyProtocol On\n</VirtualHost>\n\
             <VirtualHost 127.0.0.1:{plain}>\n</VirtualHost>\n"
        );
        let arguments = |folder: &Path| {
            vec!["-DFOREGROUND".to_owned(), "-f".to_owned(), folder.join("httpd.conf").display().to_string()]
        };
        let server = Server::start("apache2", &[("httpd.conf", config)], arguments, &[header, plain])?;
        Some(Self { server, header, plain })
    }

    /// The access log, once it has a line with this in it.
    pub(crate) fn logged(&self, part: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let log = self.server.read("access.log");
            if log.contains(part) || Instant::now() > deadline {
                return log;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
