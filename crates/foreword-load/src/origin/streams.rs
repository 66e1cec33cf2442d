//! The source and the sink.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::tally::Tally;
use crate::failure::Failure;
use crate::stream::PIECE;

static DOTS: [u8; PIECE] = [b'.'; PIECE];

/// Sends `bytes` of them and closes.
pub(super) async fn pour(stream: &mut TcpStream, bytes: u64, tally: &Tally) -> Result<(), Failure> {
    send_dots(stream, bytes).await?;
    stream.shutdown().await.map_err(Failure::Broken)?;
    tally.streamed();
    Ok(())
}

pub(super) async fn send_dots(stream: &mut TcpStream, bytes: u64) -> Result<(), Failure> {
    let mut left = bytes;
    while left > 0 {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
        stream.write_all(DOTS.get(..len).unwrap_or_default()).await.map_err(Failure::Broken)?;
        left -= len as u64;
    }
    Ok(())
}

/// Reads to the end, what came with the header included, and says how much that was.
pub(super) async fn swallow(
    stream: &mut TcpStream,
    mut buffer: Vec<u8>,
    tally: &Tally,
) -> Result<(), Failure> {
    let mut swallowed = buffer.len() as u64;
    buffer.resize(PIECE, 0);
    loop {
        match stream.read(&mut buffer).await.map_err(Failure::Broken)? {
            0 => break,
            read => swallowed += read as u64,
        }
    }
    stream.write_all(&swallowed.to_be_bytes()).await.map_err(Failure::Broken)?;
    stream.shutdown().await.map_err(Failure::Broken)?;
    tally.streamed();
    Ok(())
}
