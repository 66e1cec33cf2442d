//! An HTTP/1.1 server that answers with as many bytes as the path says.

use std::io::Write as _;

use foreword_http1::{Chunked, Framing, HeadEnd, Limits, RequestHead};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::streams::send_dots;
use super::tally::Tally;
use crate::failure::Failure;

/// Answers requests until the client closes or says that it will.
pub(super) async fn serve(stream: &mut TcpStream, buffer: Vec<u8>, tally: &Tally) -> Result<(), Failure> {
    let mut requests = Requests { buffer, head: RequestHead::default(), limits: Limits::default() };
    let mut out = Vec::new();
    while let Some(request) = requests.next(stream).await? {
        answer(stream, &request, &mut out).await?;
        tally.answered();
        if !request.keeps_alive {
            stream.shutdown().await.map_err(Failure::Broken)?;
            break;
        }
    }
    Ok(())
}

/// What matters of a request.
struct Asked {
    len: u64,
    head_only: bool,
    keeps_alive: bool,
}

/// The requests of one connection.
struct Requests {
    /// What came and is not yet used.
    buffer: Vec<u8>,
    head: RequestHead,
    limits: Limits,
}

impl Requests {
    /// The next request, its body read; `None` once the client has closed between two.
    async fn next(&mut self, stream: &mut TcpStream) -> Result<Option<Asked>, Failure> {
        let Some(head_len) = self.read_head(stream).await? else {
            return Ok(None);
        };
        let request = self.head.view(self.buffer.get(..head_len).unwrap_or_default());
        let asked = Asked {
            len: len_asked(request.target().path_and_query()),
            head_only: request.method() == "HEAD",
            keeps_alive: request.keeps_alive(),
        };
        let framing = request.framing();
        let expects_continue = request.expects_continue();
        self.buffer.drain(..head_len);
        if expects_continue {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(Failure::Broken)?;
        }
        match framing {
            Framing::Length(len) => self.skip(stream, len).await?,
            Framing::Chunked => self.skip_chunks(stream).await?,
            Framing::None | Framing::UntilClose => {}
        }
        Ok(Some(asked))
    }

    async fn read_head(&mut self, stream: &mut TcpStream) -> Result<Option<usize>, Failure> {
        let mut end = HeadEnd::request();
        loop {
            if let Some(len) = end.find(&self.buffer, &self.limits).map_err(Failure::Head)? {
                let head = self.buffer.get(..len).unwrap_or_default();
                self.head.parse(head, &self.limits).map_err(Failure::Head)?;
                return Ok(Some(len));
            }
            if !self.fill(stream).await? {
                return match self.buffer.len() {
                    0 => Ok(None),
                    after => Err(Failure::Closed { after: after as u64 }),
                };
            }
        }
    }

    async fn skip(&mut self, stream: &mut TcpStream, len: u64) -> Result<(), Failure> {
        let mut left = len;
        loop {
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            self.buffer.drain(..taken);
            left -= taken as u64;
            if left == 0 {
                return Ok(());
            }
            if !self.fill(stream).await? {
                return Err(Failure::Closed { after: len - left });
            }
        }
    }

    async fn skip_chunks(&mut self, stream: &mut TcpStream) -> Result<(), Failure> {
        let mut chunked = Chunked::decoding();
        let mut came = 0;
        loop {
            let step = chunked.advance(&mut self.buffer).map_err(Failure::Chunk)?;
            came += step.taken as u64;
            self.buffer.drain(..step.taken);
            if step.done {
                return Ok(());
            }
            if !self.fill(stream).await? {
                return Err(Failure::Closed { after: came });
            }
        }
    }

    /// Reads some more; false at the end.
    async fn fill(&mut self, stream: &mut TcpStream) -> Result<bool, Failure> {
        // A connection that is given up by a reset while nothing was asked ended as well as by a close.
        match stream.read_buf(&mut self.buffer).await {
            Ok(read) => Ok(read > 0),
            Err(_) if self.buffer.is_empty() => Ok(false),
            Err(error) => Err(Failure::Broken(error)),
        }
    }
}

/// `/bytes/N` asks for N bytes, anything else for three.
fn len_asked(target: &str) -> u64 {
    let path = target.split('?').next().unwrap_or_default();
    path.strip_prefix("/bytes/").and_then(|len| len.parse().ok()).unwrap_or(3)
}

/// Bodies up to this length travel with their head.
const TOGETHER: u64 = 16 * 1024;

async fn answer(stream: &mut TcpStream, asked: &Asked, out: &mut Vec<u8>) -> Result<(), Failure> {
    let connection = if asked.keeps_alive { "keep-alive" } else { "close" };
    let body = if asked.head_only { 0 } else { asked.len };
    out.clear();
    write!(
        out,
        "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: {connection}\r\n\r\n",
        asked.len
    )
    .map_err(Failure::Broken)?;
    let together = body.min(TOGETHER);
    out.resize(out.len() + together as usize, b'.');
    stream.write_all(out).await.map_err(Failure::Broken)?;
    send_dots(stream, body - together).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_how_many_bytes_are_asked_for() {
        for (target, len) in
            [("/bytes/0", 0), ("/bytes/1048576?x", 1_048_576), ("/", 3), ("/bytes/many", 3), ("/bytes/", 3)]
        {
            assert_eq!(len_asked(target), len, "{target}");
        }
    }
}
