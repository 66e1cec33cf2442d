//! `foreword gate` and `foreword balance`: the file that flags mean, and what runs.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Nothing takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

fn foreword(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = assert_cmd::Command::cargo_bin("foreword")
        .expect("it is built")
        .current_dir(folder)
        .args(args)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The file that a command prints, which must be good.
fn printed(command: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let args: Vec<&str> = command.split(' ').chain(["--print-config"]).collect();
    let (code, file, said) = foreword(folder.path(), &args);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{command}");
    fs::write(folder.path().join("f.toml"), &file).expect("written");
    let (code, said, _) = foreword(folder.path(), &["check", "-c", "f.toml"]);
    assert_eq!(code, Some(0), "{command}\n{file}{said}");
    let args: Vec<&str> = command.split(' ').chain(["--check"]).collect();
    let (code, said, talk) = foreword(folder.path(), &args);
    assert_eq!(code, Some(0), "{command}\n{said}{talk}");
    assert!(said.ends_with("the flags are good\n"), "{said}");
    format!("$ foreword {command}\n\n{file}")
}

fn certificates(folder: &Path) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let certs = folder.join("certs");
    fs::create_dir(&certs).expect("made");
    let made = rcgen::generate_simple_self_signed(["www.example.com".to_owned()]).expect("made");
    let pem = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(certs.join("site.pem"));
    file.and_then(|mut file| file.write_all(pem.as_bytes())).expect("written");
}

/// A role that runs, ended with the test.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// Starts a role at a free port of loopback.
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foreword"));
        command.args(args).args(["--bind", "127.0.0.1:0"]).env_remove("RUST_LOG");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut seen = Vec::new();
        let address = loop {
            let line =
                lines.next().unwrap_or_else(|| panic!("it ended:\n{}", seen.join("\n"))).expect("text");
            if let Some((_, address)) = line.split_once(" on 127.0.0.1:") {
                break format!("127.0.0.1:{address}").parse().expect("an address");
            }
            seen.push(line);
        };
        // Whatever else it says must not stop it.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, or it ends here; neither leaves a process behind.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn endpoint() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

fn accept(endpoint: &TcpListener) -> TcpStream {
    let (stream, _) = endpoint.accept().expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// What a health check sends before it ends. The first one comes at once, the next one in half a minute.
fn check(endpoint: &TcpListener) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A check that has its answer may end with a reset.
    let _reset = accept(endpoint).read_to_end(&mut bytes);
    assert!(bytes.len() <= 28, "{bytes:x?}");
    bytes
}

/// LOCAL, and twelve bytes to come.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x11\x00\x0c";

fn exactly(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).expect("so many bytes");
    bytes
}

#[test]
fn the_file_that_flags_mean_is_printed_and_good() {
    let files = [
        "balance --bind [::]:443 --to 10.0.0.1:443 --to 10.0.0.2:443 --send-header v2",
        "balance --bind [::]:25 --to 10.0.2.10:25 --to mail.internal:25 --send-header v1 --balance least-connections \
         --header-placement connect --idle-timeout 6m --connect-timeout 2s --max-connections 2000 --workers 2 --drain 5s",
        "balance --bind [::]:443 --bind unix:/run/foreword.sock --to unix:/run/app.sock --send-header v2 \
         --send-tlv authority,crc32c --certificates certs/ --trust 10.0.0.0/16,unix",
        "gate --bind [::]:443 --trust 10.0.0.0/16 --trust-optional 127.0.0.1,::1 --trust-forbid 10.0.200.0/24 \
         --certificates certs/ --to 127.0.0.1:8080 --access-log --admin unix:/run/foreword/admin.sock",
        "balance --bind [::]:443 --to 10.0.0.1:443 --send-header v2 --trust 10.0.0.0/16 --pass-tlv aws.vpce,0xE1 --health tcp \
         --health-header local-noop --health-port 8443 --health-interval 1s --health-timeout 500ms --health-rise 1 --health-fall 5",
        "gate --bind [::]:80 --to 127.0.0.1:8080 --health http:/healthz --pass-tlv all --send-header v2 --trust 10.0.0.0/8",
        "balance --bind [::]:443 --mode tls-passthrough --to 10.0.0.1:443,weight=3 --to 10.0.0.2:443 --to 10.0.0.3:443,backup \
         --balance hash:client.ip --send-header v2",
        "balance --bind [::]:80 --to app.internal:443 --to-tls --to-sni app.internal --balance random-of-two",
        "balance --bind [::]:80 --to 10.0.0.1:443,max_connections=100 --to-tls --to-insecure --balance first --slow-start 30s",
        "balance --bind [::]:53 --mode udp --to 10.0.2.10:53 --send-header v2-first --max-flows 1000 --idle-timeout 10s",
        "gate --bind [::]:53 --mode udp --to 127.0.0.1:5353 --trust 10.0.0.0/8 --datagrams spp",
        "gate --bind [::]:5432 --mode tcp --trust 10.0.0.0/16 --to 127.0.0.1:15432 --access-log haproxy --log-to file:a.log",
    ];
    insta::assert_snapshot!("print_config", files.map(printed).join("\n"));
}

#[test]
fn the_balancers_of_aws_are_files_too() {
    let files = ["classic-elb", "nlb", "nlb:on_first_ack", "nlb:on_first_ack_with_payload"]
        .map(|name| printed(&format!("balance --as {name} --bind [::]:443 --to 10.0.0.1:443")));
    insta::assert_snapshot!("emulated", files.join("\n"));
    let vpce = printed("balance --as nlb --vpce vpce-08d2bf15fac5001c9 --bind [::]:443 --to 10.0.0.1:443");
    let tlv = "send_tlvs        = [{ kind = \"aws.vpce\", value = \"vpce-08d2bf15fac5001c9\" }]\n";
    assert!(vpce.contains(tlv), "{vpce}");
    let own =
        printed("balance --as nlb --bind [::]:443 --to 10.0.0.1:443 --idle-timeout 10s --health-interval 1s");
    assert!(
        own.contains("interval = \"1s\"") && !own.contains("\"30s\"") && own.contains("check    = \"tcp\""),
        "{own}"
    );
    assert!(own.contains("timeout = { idle = \"10s\" }\n"), "{own}");
}

#[test]
fn what_is_wrong_is_told_of_the_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut told = String::new();
    for command in [
        "balance --bind 127.0.0.1 --to 10.0.0.1 --idle-timeout 5 --connect-timeout x --trust 10.0.0.0/99",
        "balance --bind [::]:443 --to 10.0.0.1:1,weight=0 --send-tlv ssl --balance hash:nothing --slow-start 1 --to-tls --to-ca nowhere.pem",
        "balance --bind [::]:443 --to 10.0.0.1:1 --to 10.0.0.1:1",
        "balance --bind [::]:443 --to 10.0.0.1:1 --to-tls --to-ca nowhere.pem",
        "balance --bind [::]:443 --to 10.0.0.1:1 --to-tls --to-sni bad_/name",
        "gate --bind [::]:443 --to 10.0.0.1:1 --trust 10.0.0.0/8 --trust-optional 10.0.0.0/8",
        "gate --bind [::]:443 --to 10.0.0.1:1 --certificates nowhere/",
        "balance --bind [::]:443 --to 10.0.0.1:1 --max-flows 5 --send-header spp",
        "balance --bind [::]:53 --to 10.0.0.1:1 --mode udp --send-header v1 --datagrams often --trust 10.0.0.0/8",
        "gate --bind [::]:443 --to 10.0.0.1:1 --access-log {nope} --admin x --workers 0 --drain x --max-connections 0",
        "gate --bind [::]:443 --to 10.0.0.1:1 --health http:x --health-header proxi --health-port 0 --health-interval 1 \
         --health-timeout x --health-rise 0 --health-fall 0",
        "gate --bind [::]:443 --to 10.0.0.1:1 --mode tcp --certificates nowhere/ --print-config --trust x",
    ] {
        let args: Vec<&str> = command.split(' ').collect();
        let (code, file, said) = foreword(folder.path(), &args);
        assert_eq!((code, file.as_str()), (Some(1), ""), "{command}\n{said}");
        told.push_str(&format!("$ foreword {command}\n{said}"));
    }
    for command in [
        "balance --bind [::]:443",
        "gate --to 10.0.0.1:1",
        "balance --as elb --bind [::]:443 --to 10.0.0.1:1",
        "balance --as nlb --bind [::]:443 --to 10.0.0.1:1 --send-header v1",
        "balance --as nlb --bind [::]:443 --to 10.0.0.1:1 --mode http",
        "balance --bind [::]:443 --to 10.0.0.1:1 --balance fairly",
        "balance --bind [::]:443 --to 10.0.0.1:1,heavy",
        "balance --bind [::]:443 --to 10.0.0.1:1 --to-insecure",
        "balance --bind [::]:443 --to 10.0.0.1:1 --health tcp:/x",
        "balance --bind [::]:443 --to 10.0.0.1:1 --health icmp",
        "balance --bind [::]:443 --to 10.0.0.1:1 --health-rise 2",
        "gate --bind [::]:443 --to 10.0.0.1:1 --health-port 2 --health-fall 2",
        "balance --as classic-elb --vpce vpce-1 --bind [::]:443 --to 10.0.0.1:1",
    ] {
        let args: Vec<&str> = command.split(' ').collect();
        let (code, _, said) = foreword(folder.path(), &args);
        assert_eq!(code, Some(2), "{command}\n{said}");
        told.push_str(&format!("$ foreword {command}\n{}\n", said.lines().next().unwrap_or_default()));
    }
    insta::assert_snapshot!("blame", told);
}

#[test]
fn a_classic_elb_writes_v1_in_front_of_a_header_that_is_there() {
    let (endpoint, to) = endpoint();
    let elb = Running::start(&["balance", "--as", "classic-elb", "--to", &to]);
    assert_eq!(check(&endpoint), b"", "its checks carry no header");
    let mut client = elb.connect();
    client.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello").expect("taken");
    let mut behind = accept(&endpoint);
    let own = client.local_addr().expect("an address");
    let expected = format!(
        "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\nPROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello",
        own.port(),
        elb.address.port()
    );
    assert_eq!(String::from_utf8(exactly(&mut behind, expected.len())).expect("text"), expected);
}

#[test]
fn an_nlb_on_first_ack_writes_v2_before_the_client_speaks() {
    let (endpoint, to) = endpoint();
    let nlb = Running::start(&["balance", "--as", "nlb:on_first_ack", "--to", &to]);
    assert_eq!(check(&endpoint).get(..16), Some(LOCAL), "its checks carry LOCAL");
    let client = nlb.connect();
    let mut behind = accept(&endpoint);
    let header = exactly(&mut behind, 28);
    assert_eq!(header.get(..16), Some(&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"[..]));
    behind.write_all(b"220 who speaks first").expect("taken");
    let mut client = client;
    assert_eq!(exactly(&mut client, 20), b"220 who speaks first");
}

#[test]
fn an_nlb_on_first_ack_with_payload_writes_v2_with_the_first_bytes() {
    let (endpoint, to) = endpoint();
    let nlb = Running::start(&["balance", "--as", "nlb", "--to", &to]);
    assert_eq!(check(&endpoint).get(..16), Some(LOCAL), "its checks carry LOCAL");
    let mut client = nlb.connect();
    let mut behind = accept(&endpoint);
    // What the server says first comes through while the header is still owed.
    behind.write_all(b"220 who speaks first").expect("taken");
    assert_eq!(exactly(&mut client, 20), b"220 who speaks first");
    behind.set_nonblocking(true).expect("set");
    let silent = behind.peek(&mut [0]).expect_err("nothing yet");
    assert_eq!(silent.kind(), std::io::ErrorKind::WouldBlock);
    behind.set_nonblocking(false).expect("set");
    client.write_all(b"EHLO").expect("taken");
    let bytes = exactly(&mut behind, 28 + 4);
    assert_eq!(bytes.get(..12), Some(&b"\r\n\r\n\0\r\nQUIT\n"[..]));
    assert_eq!(bytes.get(28..), Some(&b"EHLO"[..]));
}

#[test]
fn a_gate_hands_on_whom_the_header_names() {
    let (endpoint, to) = endpoint();
    let gate = Running::start(&["gate", "--trust", "127.0.0.1", "--to", &to]);
    let mut client = gate.connect();
    client
        .write_all(b"PROXY TCP4 203.0.113.7 192.0.2.2 50001 443\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .expect("taken");
    let mut head = String::new();
    let mut behind = BufReader::new(accept(&endpoint));
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(behind.read_line(&mut head).expect("a line"), 0, "{head}");
    }
    assert!(head.to_ascii_lowercase().contains("x-forwarded-for: 203.0.113.7\r\n"), "{head}");
}
