//! A close that lets the last words arrive.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Ends our side, then reads and throws away what still comes, within bounds.
///
/// A socket that is closed with bytes unread is reset, and a reset takes the answer away from whoever has not read it yet.
pub(crate) async fn close_lingering(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let farewell = async {
        stream.shutdown().await?;
        let mut thrown_away = vec![0; CHUNK];
        let mut left = MOST;
        while left > 0 {
            match stream.read(&mut thrown_away).await? {
                0 => break,
                len => left = left.saturating_sub(len),
            }
        }
        std::io::Result::Ok(())
    };
    // However it ends, the connection is over: there is nobody left to tell.
    let _over = tokio::time::timeout(LONGEST, farewell).await;
}

const CHUNK: usize = 4096;
const MOST: usize = 64 * 1024;
const LONGEST: Duration = Duration::from_secs(1);
