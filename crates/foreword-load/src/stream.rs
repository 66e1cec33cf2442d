//! A stream of bytes, carried whole and counted at its end.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::connection::{Connection, within};
use crate::failure::Failure;
use crate::load::{Streams, Way};

/// Large enough that system calls do not count, small enough to stay in a cache.
pub(crate) const PIECE: usize = 256 * 1024;

/// Carries one stream; `buffer` is [`PIECE`] bytes long.
pub(crate) async fn carry(
    connection: &mut Connection,
    streams: &Streams,
    buffer: &mut [u8],
    patience: Duration,
) -> Result<(), Failure> {
    let found = match streams.way {
        Way::Down => receive(connection, buffer, patience).await?,
        Way::Up => send(connection, streams.bytes, buffer, patience).await?,
    };
    if found == streams.bytes { Ok(()) } else { Err(Failure::Length { expected: streams.bytes, found }) }
}

/// How many bytes come until the far end closes.
async fn receive(connection: &mut Connection, buffer: &mut [u8], patience: Duration) -> Result<u64, Failure> {
    let mut received = 0;
    loop {
        match within(patience, connection.read(buffer)).await?.map_err(Failure::Broken)? {
            0 => return Ok(received),
            read => received += read as u64,
        }
    }
}

/// Sends `bytes` of them and closes our half; the far end says how many came.
async fn send(
    connection: &mut Connection,
    bytes: u64,
    buffer: &[u8],
    patience: Duration,
) -> Result<u64, Failure> {
    let mut left = bytes;
    while left > 0 {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        connection.send(buffer.get(..len).unwrap_or_default(), patience).await?;
        left -= len as u64;
    }
    within(patience, connection.shutdown()).await?.map_err(Failure::Broken)?;
    let mut came = [0; 8];
    within(patience, connection.read_exact(&mut came)).await?.map_err(Failure::Broken)?;
    Ok(u64::from_be_bytes(came))
}
