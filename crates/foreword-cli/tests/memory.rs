//! What the gateway does while more memory is in use than `max_memory` allows, and afterwards.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway process, ended with the test.
struct Run {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    folder: tempfile::TempDir,
}

impl Run {
    fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("foreword.toml");
        let text = format!("{text}[admin]\nbind = \"unix:{}\"\n", folder.path().join("admin.sock").display());
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_foreword"));
        command
            .args(["run", "-c"])
            .arg(&file)
            .env_remove("RUST_LOG")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut run = Self { child, lines, seen: Vec::new(), folder };
        run.line_with(" on 127.0.0.1:");
        run
    }

    /// Waits for a line that holds `text`.
    fn line_with(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with `{text}` in:\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The address that a listener says it is bound to.
    fn address(&mut self, listener: &str) -> SocketAddr {
        let name = format!("listener {listener}: ");
        let is_its = |line: &&String| line.contains(&name) && line.contains(" on 127.0.0.1:");
        let line = match self.seen.iter().find(is_its) {
            Some(line) => line.clone(),
            None => self.line_with(&name),
        };
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until a client is served as any is while there is enough memory.
    fn is_well_again(&mut self) {
        let address = self.address("web");
        let deadline = Instant::now() + PATIENCE;
        while !ask(&mut connect(address)).is_some_and(|answer| is_kept(&answer)) {
            assert!(Instant::now() < deadline, "nobody is kept again:\n{}", self.seen.join("\n"));
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// How much of its memory is no file's, in KiB.
    fn anonymous(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// What the page of metrics says under this name.
    fn metric(&self, name: &str) -> f64 {
        let mut stream = UnixStream::connect(self.folder.path().join("admin.sock")).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let line =
            page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

/// A listener that answers by itself. Nobody's time is up before the test is over.
fn web(max_memory: &str) -> String {
    format!(
        "workers = 1\nmax_memory = \"{max_memory}\"\n\
         [listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\nmax = {{ head = \"1MiB\" }}\n\
         timeout = {{ head = \"1h\", idle = \"1h\" }}\n\
         [[listener.web.rule]]\nwhen = 'path.starts_with(\"/app\")'\nthen = {{ forward = \"app\" }}\n\
         [[listener.web.rule]]\nthen = {{ respond = {{ body = \"hello\" }} }}\n"
    )
}

/// Those who may owe something else than a request, and flows. Their time is not up either.
fn others(folder: &Path, flows_to: SocketAddr) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("a.pem"), made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
    let certificates = folder.display();
    format!(
        "[trust.lb]\nfrom = [\"127.0.0.0/8\"]\nheader = \"require\"\n\
         [listener.introduced]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\ncluster = \"app\"\n\
         trust = [\"lb\"]\nheader = {{ deadline = \"1h\" }}\n\
         [listener.secured]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\ncluster = \"app\"\n\
         tls = {{ certificates = \"{certificates}\" }}\ntimeout = {{ tls = \"1h\" }}\n\
         [listener.flows]\nbind = [\"127.0.0.1:0\"]\nmode = \"udp\"\ncluster = \"flows\"\n\
         timeout = {{ idle = \"1h\" }}\n[cluster.flows]\nendpoints = [\"{flows_to}\"]\n"
    )
}

/// An endpoint that answers once, and tells when it was asked for the first time and when that connection has ended.
fn told_of_its_end() -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, ended) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _head = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        let _reset = stream.read(&mut [0]);
        tell.send(()).unwrap();
    });
    (address, ended)
}

/// An endpoint that takes all who come and answers nobody.
fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().map_while(Result::ok).collect::<Vec<_>>());
    address
}

fn cluster(endpoint: SocketAddr) -> String {
    format!("[cluster.app]\nendpoints = [\"{endpoint}\"]\ntimeout = {{ response = \"1h\", idle = \"1h\" }}\n")
}

impl Drop for Run {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The answer to a request, if the connection is one that is served.
fn ask(stream: &mut TcpStream) -> Option<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece) {
            Ok(read @ 1..) => answer.extend_from_slice(&piece[..read]),
            _ => return None,
        }
    }
    Some(String::from_utf8(answer).unwrap())
}

fn is_kept(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200") && !answer.to_ascii_lowercase().contains("connection: close")
}

#[test]
fn while_memory_is_short_the_idle_go_and_heads_without_an_end_and_then_all_are_welcome() {
    let mut run = Run::start(&(web("24MiB") + &cluster(silent())));
    let address = run.address("web");
    let mut idle = connect(address);
    assert!(is_kept(&ask(&mut idle).unwrap()));

    // A head takes a mebibyte here, and there is room for 24 of them.
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    head.resize(600_000, b'v');
    let mut crowd: Vec<TcpStream> = (0..60).map(|_| said(address, &head)).collect();
    let line = run.line_with("FW714");
    assert!(line.contains("expected at most 25165824 bytes of memory in use (max_memory)"), "{line}");
    // Those of them who were refused may be so many that the others fit, and nobody need go: they come again.
    let deadline = Instant::now() + PATIENCE;
    while is_open(&idle) {
        assert!(Instant::now() < deadline, "the idle one is never closed:\n{}", run.seen.join("\n"));
        crowd.retain(is_open);
        if crowd.len() < 60 {
            crowd.push(said(address, &head));
        }
    }

    run.line_with("memory in use ");
    run.is_well_again();
    assert!(run.metric("foreword_memory_held_bytes ") > 0.0);
    assert!(run.metric("foreword_memory_mark_bytes ") >= 25_165_824.0);
    assert!(run.metric("foreword_idle_connections_shed_total ") >= 1.0);
    // It was there all the time.
    drop(crowd);
}

#[test]
fn while_memory_is_short_nobody_is_waited_for_and_nothing_is_kept_for_later() {
    let folder = tempfile::tempdir().unwrap();
    let flows_to = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (endpoint, ended) = told_of_its_end();
    let others = others(folder.path(), flows_to.local_addr().unwrap());
    let mut run = Run::start(&(web("24MiB") + &others + &cluster(endpoint)));
    let address = run.address("web");
    let mut kept = connect(address);
    kept.write_all(b"GET /app HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = [0; 15];
    kept.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let owing = [("introduced", &b"PROXY TCP4 "[..]), ("secured", b"\x16\x03\x01\x02\x00")]
        .map(|(listener, bytes)| said(run.address(listener), bytes));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"a", run.address("flows")).unwrap();
    flows_to.set_read_timeout(Some(PATIENCE)).unwrap();
    flows_to.recv(&mut [0]).unwrap();
    assert!(owing.iter().all(is_open) && ended.try_recv().is_err());

    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    head.resize(600_000, b'v');
    let mut crowd = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    let flows = "foreword_connections_open{listener=\"flows\"";
    while owing.iter().any(is_open) || run.metric(flows) > 0.0 {
        assert!(Instant::now() < deadline, "somebody is waited for:\n{}", run.seen.join("\n"));
        crowd.retain(is_open);
        if crowd.len() < 60 {
            crowd.push(said(address, &head));
        }
    }
    ended.recv_timeout(PATIENCE).unwrap();
    run.line_with("introduced 127.0.0.1:");
    drop(crowd);
    run.is_well_again();
}

#[test]
fn what_is_let_go_is_given_back_to_the_kernel() {
    let mut run = Run::start(&(web("48MiB") + &cluster(silent())));
    let address = run.address("web");
    let mut head = b"POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nX: ".to_vec();
    head.resize(60_000, b'v');
    head.extend(b"\r\n\r\n");
    // What lives among what goes keeps an allocator from giving that back by itself.
    let crowd: Vec<TcpStream> = (0..1000).map(|_| said(address, &head)).collect();
    run.line_with("FW714");
    run.line_with("memory in use is below the mark again");
    drop(crowd);
    let deadline = Instant::now() + PATIENCE;
    while run.metric("foreword_memory_held_bytes ") > 40e6 {
        assert!(Instant::now() < deadline, "nothing is given back:\n{}", run.seen.join("\n"));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn while_memory_is_short_requests_that_do_not_go_on_are_cut_off_and_others_are_served() {
    let mut run = Run::start(&(web("16MiB") + &cluster(silent())));
    let address = run.address("web");
    // Heads are held for as long as their requests last.
    let mut head = b" /app HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    head.resize(100_000, b'v');
    let waits_for_its_body = [b"POST", &*head, b"\r\nContent-Length: 9\r\n\r\nbody"].concat();
    let says_more = [b"GET", &*head, b"\r\n\r\nGET / HTTP/1.1\r\n"].concat();
    let crowd: Vec<TcpStream> =
        [waits_for_its_body, says_more].iter().cycle().take(300).map(|bytes| said(address, bytes)).collect();
    run.line_with("FW714");

    // All the while the crowd is there.
    run.is_well_again();
    assert!(crowd.iter().filter(|stream| !is_open(stream)).count() > 200);
}

#[test]
fn while_memory_is_short_streams_are_refused_and_connections_with_many_end() {
    let many = "[listener.many]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\nhttp2 = \"prior-knowledge\"\n\
                cluster = \"app\"\ntimeout = { head = \"1h\", idle = \"1h\" }\n";
    let mut run = Run::start(&(web("16MiB") + many + &cluster(silent())));
    let address = run.address("many");
    let requests = requests_with_heavy_heads(60);
    let crowd_comes = (0..400).map(|_| (said(address, &requests), run.anonymous()));
    let (crowd, held): (Vec<TcpStream>, Vec<u64>) = crowd_comes.unzip();
    let most = held.into_iter().max().unwrap();
    assert!(most < 22 * 1024, "{most} KiB were taken before anybody looked");
    run.line_with("FW714");
    run.is_well_again();
    let mut refused = 0;
    for mut stream in crowd {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut heard = Vec::new();
        // All that came, whether or not the connection has ended.
        let _over = stream.read_to_end(&mut heard);
        refused += refused_streams(&heard);
    }
    assert!(refused > 0, "no stream is reset with REFUSED_STREAM");
}

/// A connection on which so much is said, as far as that is heard: whoever comes late is refused, or cut off.
fn said(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(address);
    let _refused = stream.write_all(bytes);
    stream
}

/// Whether nothing came on a connection, and it has not ended.
fn is_open(stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    stream.peek(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// A client's preface, and requests whose heads have 15 kilobytes each: the value in them is said once, and an index stands for it.
fn requests_with_heavy_heads(count: u32) -> Vec<u8> {
    const VALUE: usize = 3900;
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    said.extend(frame(4, 0, 0, &[]));
    for n in 0..count {
        // GET, http, `/`, and the authority `a`.
        let mut fields = vec![0x82, 0x86, 0x84, 0x01, 1, b'a'];
        if n == 0 {
            // `x-a`, kept in the table. Its length is 127 and the rest in two bytes of seven bits.
            fields.extend([0x40, 3, b'x', b'-', b'a', 0x7f]);
            let rest = VALUE - 127;
            fields.extend([(rest % 128 + 128) as u8, (rest / 128) as u8]);
            fields.extend([b'v'; VALUE]);
        } else {
            fields.push(0xbe);
        }
        fields.extend([0xbe; 3]);
        said.extend(frame(1, 5, 2 * n + 1, &fields));
    }
    said
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// How many streams are reset with REFUSED_STREAM in what was heard.
fn refused_streams(mut heard: &[u8]) -> usize {
    let mut refused = 0;
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = heard {
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(len) else { break };
        refused += usize::from(*kind == 3 && payload == [0, 0, 0, 7]);
        heard = rest;
    }
    refused
}
