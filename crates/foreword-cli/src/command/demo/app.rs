//! The web app at the end of the demo's chain. It never heard of the PROXY protocol; it shows what it was told.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use foreword_http1::{Field, HeadEnd, HeadError, Limits, Request, RequestHead};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

/// The fields in which a gateway says who the client is; the page shows these and leaves out the rest.
const TOLD: [&[u8]; 5] =
    [b"x-forwarded-for", b"x-real-ip", b"x-forwarded-proto", b"forwarded", b"x-request-id"];

/// A kept connection on which nobody asks for so long is closed.
const IDLE: Duration = Duration::from_secs(75);

/// Answers every request on `listener` until the task is dropped.
pub(super) async fn serve(listener: TcpListener) {
    loop {
        match listener.accept().await {
            // A connection that breaks off has told whoever broke it; the app has no log.
            Ok((stream, peer)) => drop(spawn_local(converse(stream, peer))),
            // Out of descriptors, or a peer that left again: neither ends the listener.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// One connection: requests without bodies, one after the other.
async fn converse(mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    let mut head = RequestHead::default();
    while let Some(len) = next_head(&mut stream, &mut buffer).await? {
        let (bytes, _) = buffer.split_at(len);
        let answer = match head.parse(bytes, &Limits::default()) {
            Ok(()) => page(&head.view(bytes), peer),
            Err(error) => refuse(&error),
        };
        stream.write_all(answer.as_bytes()).await?;
        buffer.drain(..len);
    }
    stream.shutdown().await
}

/// Waits for a whole head; `None` once the peer has no more, or what it sends is no request.
async fn next_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<usize>> {
    let mut end = HeadEnd::request();
    loop {
        match end.find(buffer, &Limits::default()) {
            Ok(Some(len)) => return Ok(Some(len)),
            Ok(None) => {}
            Err(error) => {
                stream.write_all(refuse(&error).as_bytes()).await?;
                return Ok(None);
            }
        }
        match tokio::time::timeout(IDLE, stream.read_buf(buffer)).await {
            Ok(Ok(0)) | Err(_) => return Ok(None),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
}

fn page(request: &Request<'_>, peer: SocketAddr) -> String {
    let mut body = format!("{} {}\n", request.method(), request.raw_target());
    let _ = writeln!(body, "the connection came from  {peer}");
    for field in request.fields().filter(is_told) {
        let name = String::from_utf8_lossy(field.name);
        let _ = writeln!(body, "{name:<25} {}", String::from_utf8_lossy(field.value));
    }
    answer("200 OK", &body)
}

fn is_told(field: &Field<'_>) -> bool {
    TOLD.iter().any(|told| field.name.eq_ignore_ascii_case(told))
}

fn refuse(error: &HeadError) -> String {
    answer("400 Bad Request", &format!("{error}\n"))
}

fn answer(status: &str, body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len}\r\n\r\n{body}")
}
