//! Those that the client talks to in tests: real servers where the machine has them, and raw sockets for ugly ends.

pub(crate) mod real;
pub(crate) mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Runs `foreword` to its end.
pub(crate) fn foreword(arguments: &[&str]) -> Output {
    program("foreword", arguments, b"")
}

/// Runs `foreword` with something on its standard input.
pub(crate) fn foreword_fed(arguments: &[&str], input: &[u8]) -> Output {
    program("foreword", arguments, input)
}

/// Runs one of our programs to its end, which must come.
pub(crate) fn program(name: &str, arguments: &[&str], input: &[u8]) -> Output {
    let binary = match name {
        "ppcurlcat" => env!("CARGO_BIN_EXE_ppcurlcat"),
        _ => env!("CARGO_BIN_EXE_foreword"),
    };
    let mut command = assert_cmd::Command::new(binary);
    command.args(arguments).write_stdin(input).timeout(Duration::from_secs(60));
    command.env_remove("SSLKEYLOGFILE").output().expect("it runs")
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code, not a signal")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// A server told connection by connection what to do.
pub(crate) struct Raw {
    pub(crate) address: SocketAddr,
    heard: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<()>>,
}

/// What a raw server does with one connection; what it returns is remembered.
pub(crate) type Chapter = Box<dyn FnOnce(TcpStream) -> Vec<u8> + Send>;

impl Raw {
    /// Takes one connection for each chapter, in order, and no more.
    pub(crate) fn serve(chapters: Vec<Chapter>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let (tell, heard) = channel();
        let thread = std::thread::spawn(move || {
            for chapter in chapters {
                let (stream, _) = listener.accept().expect("a connection");
                stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
                tell.send(chapter(stream)).ok();
            }
        });
        Self { address, heard, thread: Some(thread) }
    }

    /// One connection, one answer to whatever comes.
    pub(crate) fn answering(answer: &'static str) -> Self {
        Self::serve(vec![answer_with(answer)])
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What the next connection brought, as its chapter returned it.
    pub(crate) fn heard(&self) -> Vec<u8> {
        self.heard.recv_timeout(Duration::from_secs(30)).expect("a finished connection")
    }

    pub(crate) fn heard_text(&self) -> String {
        String::from_utf8(self.heard()).expect("text")
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A server whose connections never came would be waited for in vain.
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            thread.join().expect("a server that did not panic");
        }
    }
}

/// Reads a whole request head, answers, and closes.
pub(crate) fn answer_with(answer: &'static str) -> Chapter {
    Box::new(move |mut stream| {
        let request = read_head(&mut stream);
        stream.write_all(answer.as_bytes()).expect("the answer");
        request
    })
}

/// Reads until the end of a request head, header in front included.
pub(crate) fn read_head(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") || bytes.len() == 4 {
        if stream.read(&mut byte).expect("a byte in time") == 0 {
            break;
        }
        bytes.extend(byte);
    }
    bytes
}

/// Closes with a reset, as a kernel does for a process that left bytes unread.
pub(crate) fn reset(stream: TcpStream) {
    let socket = socket2::SockRef::from(&stream);
    socket.set_linger(Some(Duration::ZERO)).expect("no lingering");
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";
