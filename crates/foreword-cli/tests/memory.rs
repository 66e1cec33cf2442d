//! What the gateway does while more memory is in use than `max_memory` allows, and afterwards.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
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
}

impl Run {
    fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("foreword.toml");
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
        let mut run = Self { child, lines, seen: Vec::new() };
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
    fn address(&self) -> SocketAddr {
        let line = self.seen.iter().find(|line| line.contains(" on 127.0.0.1:")).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
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
    // Nobody's time is up before the test is over.
    let mut run = Run::start(
        "workers = 1\nmax_memory = \"24MiB\"\n\
         [listener.web]\nbind = [\"127.0.0.1:0\"]\nmode = \"http\"\nmax = { head = \"1MiB\" }\n\
         timeout = { head = \"1h\", idle = \"1h\" }\n\
         [[listener.web.rule]]\nthen = { respond = { body = \"hello\" } }\n",
    );
    let address = run.address();
    let mut idle = connect(address);
    assert!(is_kept(&ask(&mut idle).unwrap()));

    // A head takes a mebibyte here, and there is room for 24 of them.
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    head.resize(600_000, b'v');
    let crowd: Vec<TcpStream> = (0..60)
        .map(|_| {
            let mut stream = connect(address);
            // Whoever comes late is refused, or cut off, and cannot say it all.
            let _refused = stream.write_all(&head);
            stream
        })
        .collect();
    let line = run.line_with("FW714");
    assert!(line.contains("expected at most 25165824 bytes of memory in use (max_memory)"), "{line}");
    assert_eq!(idle.read(&mut [0; 16]).unwrap(), 0, "the idle one is closed");

    run.line_with("memory in use is below the mark again");
    let deadline = Instant::now() + PATIENCE;
    while !ask(&mut connect(address)).is_some_and(|answer| is_kept(&answer)) {
        assert!(Instant::now() < deadline, "nobody is kept again");
    }
    // It was there all the time.
    drop(crowd);
}
